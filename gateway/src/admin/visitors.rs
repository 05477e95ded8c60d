//! Who is served by the admin side at once, and who gives way when there are too many: a probe that
//! asks for health must always be answered, whoever sits on the other places.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

/// The sockets that are served, from the oldest on.
#[derive(Debug)]
pub(super) struct Visitors {
    max: usize,
    list: RefCell<VecDeque<Rc<Visitor>>>,
}

/// A socket that is served.
#[derive(Debug)]
pub(super) struct Visitor {
    standing: Cell<Standing>,
    sent_away: Notify,
}

/// How much a socket has to be served for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// No request of it is being answered. Its answers may still wait for it to read them.
    Idle,
    /// A request is being answered; who asks is not known.
    Asking,
    /// A request with the token is being answered.
    Trusted,
}

impl Visitor {
    pub(super) fn stands(&self, standing: Standing) {
        self.standing.set(standing);
    }

    /// Waits until it has to give way.
    pub(super) async fn sent_away(&self) {
        self.sent_away.notified().await;
    }
}

impl Visitors {
    /// Room for so many.
    pub(super) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self {
            max,
            list: RefCell::default(),
        })
    }

    /// Lets one more in. If there is no room, the oldest of those with the least standing gives way;
    /// `None` if all are trusted.
    pub(super) fn enter(&self) -> Option<Rc<Visitor>> {
        let mut list = self.list.borrow_mut();
        if list.len() >= self.max {
            let (at, _) = list
                .iter()
                .enumerate()
                .filter(|(_, visitor)| visitor.standing.get() < Standing::Trusted)
                .min_by_key(|(at, visitor)| (visitor.standing.get(), *at))?;
            if let Some(visitor) = list.remove(at) {
                visitor.sent_away.notify_one();
            }
        }
        let visitor = Rc::new(Visitor {
            standing: Cell::new(Standing::Idle),
            sent_away: Notify::new(),
        });
        list.push_back(visitor.clone());
        Some(visitor)
    }

    /// One has gone.
    pub(super) fn leave(&self, visitor: &Rc<Visitor>) {
        let mut list = self.list.borrow_mut();
        list.retain(|other| !Rc::ptr_eq(other, visitor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sent_away(visitor: &Visitor) -> bool {
        let mut told = std::pin::pin!(visitor.sent_away());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        told.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn the_oldest_with_the_least_standing_gives_way() {
        let visitors = Visitors::new(3);
        let enter = || visitors.enter().unwrap();
        let (trusted, asking, idle) = (enter(), enter(), enter());
        trusted.stands(Standing::Trusted);
        asking.stands(Standing::Asking);
        let next = enter();
        assert!(is_sent_away(&idle) && !is_sent_away(&asking) && !is_sent_away(&next));
        next.stands(Standing::Asking);
        let last = enter();
        assert!(is_sent_away(&asking) && !is_sent_away(&next));
        last.stands(Standing::Trusted);
        next.stands(Standing::Trusted);
        assert!(visitors.enter().is_none());
        visitors.leave(&next);
        assert!(visitors.enter().is_some());
        assert!(!is_sent_away(&trusted) && !is_sent_away(&last));
    }
}
