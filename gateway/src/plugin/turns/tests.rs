use std::rc::Rc;

use super::*;

/// Runs slices of guests of these plugins on one thread, each guest so many; returns the plugins in
/// the order in which they had them.
async fn slices(guests: &[(usize, usize)]) -> Vec<usize> {
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks = guests.iter().map(|&(owner, count)| {
        let order = order.clone();
        tokio::task::spawn_local(async move {
            for _ in 0..count {
                GuestTurn::new(owner, Arc::default()).await;
                order.borrow_mut().push(owner);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no task panics");
    }
    order.take()
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    runtime.expect("a runtime starts").block_on(future)
}

#[test]
fn plugins_take_turns_however_many_guests_they_have() {
    run(async {
        let mut guests = vec![(1, 1); 20];
        guests.push((2, 10));
        let order = slices(&guests).await;
        let last = order
            .iter()
            .rposition(|&owner| owner == 2)
            .expect("it had some");
        assert_eq!(order.len(), 30);
        // One after the other, as long as both have some.
        assert!(last <= 20, "{order:?}");
    });
}

#[test]
fn between_two_slices_all_others_have_a_turn() {
    run(async {
        let rounds = Rc::new(Cell::new(0));
        let counted = rounds.clone();
        let other = tokio::task::spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        slices(&[(1, 10); 10]).await;
        assert!(rounds.get() >= 99, "{} rounds for 100 slices", rounds.get());
        other.abort();
    });
}

#[test]
fn a_guest_that_is_given_up_keeps_nobody_from_going_on() {
    run(async {
        for given_up in 1..4 {
            // The first is granted its turn, and never comes to know.
            let mut turns: Vec<_> = (0..4)
                .map(|_| Box::pin(GuestTurn::new(1, Arc::default())))
                .collect();
            for turn in &mut turns {
                assert!(poll_once(turn.as_mut()).await.is_pending());
            }
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            turns.drain(..given_up);
            for turn in turns {
                turn.await;
            }
        }
        TURNS.with_borrow(|turns| assert!(turns.queues.is_empty() && turns.granted.is_none()));
    });
}

#[test]
fn an_event_begins_in_the_round_after_its_plugin_used_up_a_tick() {
    run(async {
        assert!(!is_spent(3));
        let mut turn = Box::pin(GuestTurn::new(3, Arc::default()));
        assert!(poll_once(turn.as_mut()).await.is_pending());
        assert!(is_spent(3) && !is_spent(4));
        begin(4).await;
        begin(3).await;
        assert!(!is_spent(3));
        turn.await;
    });
}

/// Polls once.
async fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let mut future = Some(future);
    poll_fn(|context| Poll::Ready(future.take().expect("once").poll(context))).await
}
