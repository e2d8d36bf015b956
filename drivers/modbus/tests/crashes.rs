//! The process was killed, or the terminal rebooted: what was stored is known again, and what is told lost was lost.

mod support;

use std::time::Duration;

use driver_api::{Report, Trouble, contract::Running, fake::FakeGateway};
use driver_modbus::sim::{Fault, Product, Simulator};
use support::{Blocks, QUICK, Site, Way, name};

/// Drops the driver where it stands, and runs another one behind the same gateway.
async fn restart(running: Running, line: &Simulator, product: Product) -> Running {
    Running::start_behind(running.kill().await, &Blocks::of(Way::Tcp, &[product], line, QUICK))
}

fn told_lost(running: &Running) -> bool {
    let lost = |it: &Report| matches!(it, Report::Trouble { trouble: Trouble::EventsLost, .. });
    running.gateway.reports(&name(1)).iter().any(lost)
}

/// A crash takes what was saved in its last seconds, and no punch.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_a_crash_is_known_again_though_the_last_cursors_are_gone() {
    for product in [Product::Fifo, Product::RfIdeas, Product::Inveo] {
        let site = Site::start(Way::Tcp, &[product]).await;
        site.until_online(1).await;
        let mut stored = 0;
        for person in 1..=3 {
            site.line.punch(1, 1000 + person);
            stored += 1;
            site.until_stored(1, stored).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        site.gateway().lose_cursors();
        let mut running = site.running;
        for round in 1..=4 {
            for person in 1..=round {
                site.line.punch(1, 1000 * (round + 1) + person);
                stored += 1;
                running.until_stored("it is stored", 0, stored).await;
            }
            // At some of these moments the terminal was not told that it is stored.
            site.line.harm(Some(1), [Fault::Unheard]);
            running = restart(running, &site.line, product).await;
            let asked = site.line.questions(1);
            running
                .gateway
                .until("it is looked at", Duration::from_secs(30), |_| site.line.questions(1) > asked + 12)
                .await;
            assert_eq!(running.people(0).len(), stored, "{product:?}: what was stored came again as another punch");
            assert!(!told_lost(&running), "{product:?}: nothing was lost");
        }
        running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_begin_anew_are_no_loss_and_those_that_are_missing_then_are() {
    for last in [40_000, 300] {
        let site = Site::with(Way::Tcp, &[Product::Fifo], QUICK, |line| {
            line.with(1, |device| {
                device.count_from(last);
                (0..5).for_each(|person| device.punch(1000 + person));
            });
        })
        .await;
        site.until_stored(1, 5).await;
        site.until("all is acknowledged", |site| site.line.with(1, |device| device.waiting()) == 0).await;
        site.line.with(1, |device| {
            device.reboot();
            (0..2).for_each(|person| device.punch(2000 + person));
        });
        site.until_stored(1, 7).await;
        site.line.punch(1, 2002);
        site.until_stored(1, 8).await;
        assert_eq!(site.trouble(1, Trouble::EventsLost), None, "after {last}");
        site.line.with(1, |device| {
            device.count_from(7);
            device.punch(2003);
        });
        site.until_stored(1, 9).await;
        assert!(site.until_troubled(1, Trouble::EventsLost).await.contains("its numbers went from"), "after {last}");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_told_on_by_a_gateway_that_was_started_anew() {
    for product in [Product::Fifo, Product::RfIdeas] {
        let site = Site::start(Way::Tcp, &[product]).await;
        site.until_online(1).await;
        assert_eq!(site.trouble(1, Trouble::EventsLost), None);
        site.line.punch(1, 1000);
        site.until_stored(1, 1).await;
        site.line.with(1, |device| {
            device.count_from(7);
            device.punch(1001);
        });
        site.until_stored(1, 2).await;
        let cause = site.until_troubled(1, Trouble::EventsLost).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let reports = site.reports(1).len();
        let running = restart(site.running, &site.line, product).await;
        let again =
            |it: &Report| matches!(it, Report::Trouble { trouble: Trouble::EventsLost, cause: told } if *told == cause);
        let since = |it: &FakeGateway| it.reports(&name(1)).split_off(reports);
        running.gateway.until("it is told on", Duration::from_secs(30), |it| since(it).iter().any(again)).await;
        assert!(!since(&running.gateway).contains(&Report::Relief(Trouble::EventsLost)));
        running.close().await;
    }
}
