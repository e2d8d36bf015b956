//! systemd's watchdog: it is pinged only while every vital loop makes progress, so that a gateway which stands still is
//! started again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How often the loops are looked at; the publisher turns each 15 s at least, and the unit waits for a minute.
const EVERY: Duration = Duration::from_secs(5);

/// Looks at the loops for ever. `turns` counts those of courier and publisher, `store` asks the store for a sign of life,
/// `ping` tells systemd.
pub(super) async fn watch_over<Answer>(turns: impl Fn() -> [u64; 2], store: impl Fn() -> Answer, ping: impl Fn())
where
    Answer: Future<Output = bool>,
{
    let mut before = [0; 2];
    loop {
        sleep(EVERY).await;
        let now = turns();
        let alive = timeout(EVERY, store()).await == Ok(true);
        // Compared with the last ping, not with the last look: who turns more slowly than we look is no suspect.
        if alive && now.iter().zip(before).all(|(now, before)| *now != before) {
            ping();
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        },
    };

    use tokio::task::JoinHandle;

    use super::*;

    /// What the unit file says.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Loops that turn each so often, unless they are held.
    #[derive(Default)]
    struct Loops {
        turns: [AtomicU64; 2],
        held: [AtomicBool; 2],
        /// The store has ended; the store hangs.
        ended: AtomicBool,
        hangs: AtomicBool,
        pings: AtomicU64,
    }

    impl Loops {
        fn start() -> (Arc<Self>, [JoinHandle<()>; 3]) {
            let loops = Arc::<Self>::default();
            let turn = |which: usize, every: u64| {
                let loops = loops.clone();
                tokio::spawn(async move {
                    loop {
                        if !loops.held[which].load(Relaxed) {
                            loops.turns[which].fetch_add(1, Relaxed);
                        }
                        sleep(Duration::from_millis(every)).await;
                    }
                })
            };
            // As courier and publisher turn when nothing happens.
            let (courier, publisher) = (turn(0, 500), turn(1, 15_000));
            let (seen, asked, told) = (loops.clone(), loops.clone(), loops.clone());
            let watch = watch_over(
                move || [0, 1].map(|which| seen.turns[which].load(Relaxed)),
                move || {
                    let asked = asked.clone();
                    async move {
                        if asked.hangs.load(Relaxed) {
                            pending::<()>().await;
                        }
                        !asked.ended.load(Relaxed)
                    }
                },
                move || _ = told.pings.fetch_add(1, Relaxed),
            );
            (loops, [courier, publisher, tokio::spawn(watch)])
        }

        /// The most time that passes without a ping within the next ten minutes.
        async fn longest_silence(&self) -> Duration {
            let (mut before, mut silent, mut longest) = (self.pings.load(Relaxed), Duration::ZERO, Duration::ZERO);
            for _ in 0..600 {
                sleep(Duration::from_secs(1)).await;
                let now = self.pings.load(Relaxed);
                silent = if now == before { silent + Duration::from_secs(1) } else { Duration::ZERO };
                (before, longest) = (now, longest.max(silent));
            }
            longest
        }
    }

    #[tokio::test(start_paused = true)]
    async fn loops_that_turn_are_told_well_within_the_units_patience() {
        let (loops, tasks) = Loops::start();
        let silence = loops.longest_silence().await;
        assert!(silence < PATIENCE / 2, "{silence:?}");
        tasks.iter().for_each(JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn one_loop_that_stands_still_ends_the_pings_and_they_come_back_with_it() {
        let (loops, tasks) = Loops::start();
        let holds: [fn(&Loops) -> &AtomicBool; 4] =
            [|it| &it.held[0], |it| &it.held[1], |it| &it.ended, |it| &it.hangs];
        for hold in holds {
            sleep(PATIENCE).await;
            hold(&loops).store(true, Relaxed);
            // One more ping may tell of what was done before.
            sleep(Duration::from_secs(20)).await;
            let before = loops.pings.load(Relaxed);
            assert!(before > 0);
            sleep(4 * PATIENCE).await;
            assert_eq!(loops.pings.load(Relaxed), before);
            hold(&loops).store(false, Relaxed);
            let silence = loops.longest_silence().await;
            assert!(silence < PATIENCE / 2, "{silence:?}");
        }
        tasks.iter().for_each(JoinHandle::abort);
    }
}
