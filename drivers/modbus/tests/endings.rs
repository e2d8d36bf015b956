//! What was told of a terminal that is served all the time is over when it is over.

mod support;

use driver_api::Trouble;
use driver_modbus::sim::{Fault, Product};
use support::{QUICK, Site, Way};

#[tokio::test(flavor = "multi_thread")]
async fn one_exception_is_no_log_that_cannot_be_read() {
    let site = Site::start(Way::Tcp, &[Product::Fifo]).await;
    site.until_online(1).await;
    site.line.harm(Some(1), [Fault::Exception(2)]);
    site.until_troubled(1, Trouble::LogUnreadable).await;
    site.until("it is over", |site| site.trouble(1, Trouble::LogUnreadable).is_none()).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_makes_sense_again_ends_what_was_told() {
    let site = Site::start(Way::Tcp, &[Product::Fifo]).await;
    site.until_online(1).await;
    site.line.with(1, |device| device.registers.extend([(0x100, 3), (0x101, 42)]));
    site.until_troubled(1, Trouble::LogUnreadable).await;
    // It stays while it is so.
    let asked = site.line.questions(1);
    site.until("it is looked at", |site| site.line.questions(1) > asked + 5).await;
    assert!(site.trouble(1, Trouble::LogUnreadable).is_some());
    site.line.with(1, |device| device.registers.clear());
    site.until("it is over", |site| site.trouble(1, Trouble::LogUnreadable).is_none()).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_was_read_is_no_nearly_full_memory() {
    let site = Site::with(Way::Tcp, &[Product::Fifo], QUICK, |line| {
        (0..250).for_each(|person| line.punch(1, 1000 + person));
    })
    .await;
    site.until_troubled(1, Trouble::LogNearlyFull).await;
    site.until_stored(1, 250).await;
    site.until("it is over", |site| site.trouble(1, Trouble::LogNearlyFull).is_none()).await;
    site.running.close().await;
}
