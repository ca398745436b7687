//! What the exchanges of a listener share: the lists, who has refused to count, how much waits to be asked again.

use crate::limits::{REFUSALS, WAITING_BYTES};
use crate::lists::{Lists, Names};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What all exchanges of a listener share. refused: who has refused to count, by path and model.
pub struct Config {
    pub lists: Arc<Lists>,
    refused: Mutex<Names>,
    waiting_bytes: AtomicUsize,
}

impl Config {
    pub fn new(lists: Lists) -> Config {
        Config { lists: Arc::new(lists), refused: Mutex::default(), waiting_bytes: AtomicUsize::new(0) }
    }

    pub fn has_refused(&self, key: &[u8]) -> bool {
        self.refused.lock().map_or(false, |refused| refused.contains(key))
    }

    pub fn note_refusal(&self, key: &[u8]) {
        if let Ok(mut refused) = self.refused.lock() {
            if refused.len() < REFUSALS {
                refused.insert(key.to_vec());
            }
        }
    }
}

pub type Header = (Vec<u8>, Vec<u8>);

/// A request that was changed, as its caller wrote it. key: who is asked.
pub struct Original<'a> {
    config: &'a Config,
    pub key: Vec<u8>,
    pub headers: Vec<Header>,
    body: Option<Vec<u8>>, // None where too many wait
}

impl<'a> Original<'a> {
    pub fn new(config: &'a Config, key: Vec<u8>, headers: Vec<Header>, body: Vec<u8>) -> Original<'a> {
        let held = config.waiting_bytes.fetch_add(body.len(), Ordering::Relaxed) + body.len();
        let mut original = Original { config, key, headers, body: Some(body) };
        if held > WAITING_BYTES {
            original.let_go();
        }
        original
    }

    fn let_go(&mut self) {
        drop(self.taken());
    }

    /// The body, which waits no longer.
    pub fn taken(&mut self) -> Option<Vec<u8>> {
        let body = self.body.take()?;
        self.config.waiting_bytes.fetch_sub(body.len(), Ordering::Relaxed);
        Some(body)
    }
}

impl Drop for Original<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}
