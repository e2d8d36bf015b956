//! Boards that nobody told us of.

use std::time::Duration;

use driver_uhppote::{
    discover::discover,
    packet::function,
    sim::{Fault, Harm, Model, Simulator},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_board_answers_with_the_block_that_serves_it() {
    let board = Simulator::start(Model::default(), 0).await.unwrap();
    // Rubbish, and an answer that is lost: it is asked twice.
    board.harm(Fault::once(function::CONTROLLER, Harm::Instead(vec![0x17; 64])));
    let found = discover(board.address(), Duration::from_millis(400)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].controller.serial, &*found[0].controller.version), (405_419_896, "8.92"));
    let block = format!(
        "[[terminal]]\nname = \"board-405419896\"\ndriver = \"uhppote\"\naddress = \"udp://{}\"\nserial = 405419896\n",
        board.address()
    );
    assert_eq!(found[0].block(), block);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_nobody_is_found() {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let found = discover(nobody.local_addr().unwrap(), Duration::from_millis(100)).await.unwrap();
    assert!(found.is_empty());
}
