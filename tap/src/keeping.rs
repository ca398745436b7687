//! What is kept of one answer until Envoy writes its line: distinct events, and when each came.
//!
//! In: reduced events in their order. Out: dynamic metadata, which Envoy's access log prints: `e1`.. the events, `s1`
//! the sequence of (event, microseconds since the one before), `x` what was cut.

use crate::limits::{EVENTS, EVENTS_BYTES, SEQUENCE_BYTES, STAMPS};
use crate::lists::Quickly;
use crate::text::contains;
use std::collections::{BTreeSet, HashMap};
use std::io::Write;

#[derive(Default)]
pub struct Kept {
    known: HashMap<Vec<u8>, usize, Quickly>,
    pub texts: Vec<Vec<u8>>,
    bytes: usize,
    stamps: usize,
    last_us: i64,
    pub now_us: i64,
    newest: usize,
    run: usize,
    pub sequence: Vec<u8>,
    pub cuts: BTreeSet<&'static str>,
    replaced: bool,
}

impl Kept {
    pub fn cut(&mut self, what: &'static str) {
        self.cuts.insert(what);
    }

    /// Microseconds since the last event.
    pub fn since_us(&self) -> i64 {
        self.now_us - self.last_us
    }

    /// An event has come. result: by this member the results of a batch are told, of which none stands for another.
    pub fn event(&mut self, text: &[u8], result: &[u8]) {
        let number = self.number_of(text, result);
        self.note(number);
    }

    /// The number of an event by its text; past the bounds, the newest takes the place of the one before it.
    fn number_of(&mut self, text: &[u8], result: &[u8]) -> usize {
        if self.newest > 0 && self.texts[self.newest - 1] == text {
            return self.newest;
        }
        if let Some(&number) = self.known.get(text) {
            return number;
        }
        if self.texts.len() < EVENTS && self.bytes + text.len() <= EVENTS_BYTES || self.texts.is_empty() {
            if text.len() > EVENTS_BYTES {
                self.cut("events");
            }
            self.texts.push(text.to_vec());
        } else {
            self.cut("events");
            self.replaced = contains(text, result);
            let last = self.texts.len() - 1;
            let gone = std::mem::replace(&mut self.texts[last], text.to_vec());
            self.known.remove(&gone);
            self.bytes -= gone.len();
        }
        self.bytes += text.len();
        self.known.insert(text.to_vec(), self.texts.len());
        self.texts.len()
    }

    fn note(&mut self, number: usize) {
        if std::mem::take(&mut self.replaced) && number == self.newest {
            return; // what is gone must not become a second one of what took its place
        }
        if self.stamps >= STAMPS {
            if number != self.newest {
                self.count_run();
                self.newest = number;
            }
            self.run += 1;
            self.cut("stamps");
            return;
        }
        self.stamps += 1;
        let since_us = self.since_us();
        self.last_us = self.now_us;
        if !self.sequence.is_empty() || self.stamps > 1 {
            self.sequence.push(b',');
        }
        if number != self.newest {
            self.newest = number;
            let _ = write!(self.sequence, "{}.", number);
        }
        if since_us != 0 {
            let _ = write!(self.sequence, "{}", since_us);
        }
    }

    /// Events without stamps of their own, once there are too many: how many of one kind in a row.
    pub fn count_run(&mut self) {
        if self.run > 0 && self.sequence.len() <= SEQUENCE_BYTES {
            let _ = write!(self.sequence, ",{}*{}", self.newest, self.run);
        } else if self.run > 0 {
            self.cut("sequence");
        }
        self.run = 0;
    }
}
