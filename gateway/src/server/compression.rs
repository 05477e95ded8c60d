//! What a route offers of permessage-deflate (RFC 7692), and the bound on connections' contexts.

use std::cell::Cell;
use std::rc::Rc;

use hyper::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};
use tidegate_codec::deflate::{Agreement, negotiate};

use crate::config::{Compression, CompressionMode};
use crate::shard::Deflation;

/// What the contexts of one connection take: 161 KB to compress and 48 KB to decompress, measured.
const CONTEXT_COST: usize = 210 << 10;

/// A route's compression on one shard.
pub(super) struct Offer {
    config: Compression,
    /// How many connections may have contexts.
    contexts_max: usize,
    contexts: Rc<Cell<usize>>,
}

/// A connection's part of the bound. Held as long as it lives.
pub(super) struct Context {
    contexts: Rc<Cell<usize>>,
}

impl Drop for Context {
    fn drop(&mut self) {
        self.contexts.set(self.contexts.get() - 1);
    }
}

/// What was agreed on with a peer.
pub(super) struct Agreed {
    pub(super) agreement: Agreement,
    /// Held for a connection with contexts of its own; none if its messages stand alone.
    _context: Option<Context>,
}

impl Offer {
    /// The offer of a route on one of `shards` shards, which share its memory.
    pub(super) fn new(config: &Compression, shards: usize) -> Self {
        Self {
            config: config.clone(),
            contexts_max: config.memory / shards / CONTEXT_COST,
            contexts: Rc::default(),
        }
    }

    /// Agrees with what a request offers, if it can. `is_full` is told of a connection that has to
    /// go without contexts.
    pub(super) fn agree(&self, headers: &HeaderMap, is_full: impl FnOnce()) -> Option<Agreed> {
        if self.config.mode == CompressionMode::Off {
            return None;
        }
        let fields = || {
            let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
            values.filter_map(|value| value.to_str().ok())
        };
        let is_dedicated = self.config.mode == CompressionMode::Dedicated;
        let has_room = self.contexts.get() < self.contexts_max;
        let agreement = negotiate(fields(), is_dedicated && has_room)?;
        if is_dedicated && !has_room {
            is_full();
        }
        let takes_over = agreement.server_takeover || agreement.client_takeover;
        let _context = takes_over.then(|| {
            self.contexts.set(self.contexts.get() + 1);
            Context {
                contexts: self.contexts.clone(),
            }
        });
        Some(Agreed {
            agreement,
            _context,
        })
    }

    /// How messages are compressed under an agreement.
    pub(super) fn deflation(&self, agreement: &Agreement) -> Deflation {
        Deflation::new(agreement, self.config.level, self.config.minimum)
    }
}
