//! The body of an answer in pieces of any size -> reduced events.
//!
//! In: a content type in lower case, bytes as they came. Out: events in the framing that the first bytes show; of JSON
//! each value, of an outermost list each element. What it must never know: what an event means.

use crate::events::Events;
use crate::frames::Frames;
use crate::json::Reader;
use crate::keeping::Kept;
use crate::limits::{EVENT_BYTES, TEXTS};
use crate::lists::Lists;
use crate::text::contains;
use std::sync::Arc;

const FIELDS: [&[u8]; 4] = [b"data:", b"event:", b"id:", b"retry:"];
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

enum Framing {
    Unknown,
    Json(Values),
    Events(Events),
    Frames(Frames),
    Nothing,
}

/// Of JSON: how many values at the top were no containers; elements that nobody can tell from a document yet.
#[derive(Default)]
struct Values {
    scalars: usize,
    queue: Option<Vec<Vec<u8>>>,
    queue_bytes: usize,
}

pub struct Answer {
    lists: Arc<Lists>,
    kind: Vec<u8>,
    framing: Framing,
    head: Vec<u8>,
    is_marked: bool,
    reader: Reader,
    pub kept: Kept,
}

impl Answer {
    pub fn new(lists: &Arc<Lists>, kind: Vec<u8>) -> Answer {
        Answer {
            lists: Arc::clone(lists),
            kind,
            framing: Framing::Unknown,
            head: Vec::new(),
            is_marked: false,
            reader: Reader::new(lists, false, false),
            kept: Kept::default(),
        }
    }

    /// A piece of the body, which came at that moment.
    pub fn feed(&mut self, piece: &[u8], now_us: i64) {
        point!("piece");
        self.kept.now_us = now_us;
        if let Framing::Unknown = self.framing {
            let mut head = std::mem::take(&mut self.head);
            head.extend_from_slice(piece);
            if let Some(at) = self.start(&mut head) {
                self.read(&head[at..]);
            } else {
                self.head = head;
            }
        } else {
            self.read(piece);
        }
    }

    fn read(&mut self, piece: &[u8]) {
        match &mut self.framing {
            Framing::Events(events) => events.feed(piece, &mut self.reader, &mut self.kept),
            Framing::Frames(frames) => frames.feed(piece, &mut self.reader, &mut self.kept),
            Framing::Json(values) => values.feed(piece, &mut self.reader, &mut self.kept, &self.lists),
            _ => {}
        }
    }

    /// Where the body begins, once its framing is known. head: all that has come; blanks before it are taken off.
    fn start(&mut self, head: &mut Vec<u8>) -> Option<usize> {
        let mut from = begin_of(head, 0);
        if let Some(at) = from {
            if head[at] == BYTE_ORDER_MARK[0] && !self.is_marked {
                if head.len() - at < 3 {
                    return None;
                }
                if head[at..].starts_with(BYTE_ORDER_MARK) {
                    self.is_marked = true;
                    from = begin_of(head, at + 3);
                }
            }
        }
        let at = match from {
            Some(at) => at,
            None => {
                head.clear();
                return None;
            }
        };
        self.framing = match self.chosen(&head[at..]) {
            Some(framing) => framing,
            None => {
                head.drain(..at);
                return None;
            }
        };
        if let Framing::Json(_) = self.framing {
            self.reader.stop_at_values();
        }
        Some(at)
    }

    fn chosen(&self, head: &[u8]) -> Option<Framing> {
        let json = || Some(Framing::Json(Values::default()));
        let events = || Some(Framing::Events(Events::new(&self.lists)));
        let first = head[0];
        if matches!(first, b'{' | b'[') {
            return json();
        }
        if first == 0 || contains(&self.kind, b"vnd.amazon.eventstream") {
            return Some(Framing::Frames(Frames::new(&self.lists)));
        }
        if contains(&self.kind, b"event-stream") || first == b':' {
            return events();
        }
        for field in FIELDS {
            if head.starts_with(field) {
                return events();
            }
            if field.starts_with(head) {
                return None;
            }
        }
        if matches!(first, b'"' | b'-' | b't' | b'f' | b'n' | b'0'..=b'9') {
            return json();
        }
        Some(Framing::Nothing)
    }

    /// What has begun and not ended, for the log.
    pub fn unfinished(&mut self) -> Vec<u8> {
        match &mut self.framing {
            Framing::Events(events) => {
                let text = events.unfinished(&self.reader);
                if text.is_empty() && self.kept.texts.is_empty() {
                    return b".".to_vec();
                }
                text
            }
            Framing::Json(values) => {
                let mut text = values.queue.as_ref().map_or_else(Vec::new, |queue| queue.concat());
                self.reader.unfinished(&mut text);
                if self.reader.is_spoilt() {
                    text.extend_from_slice(self.reader.mark());
                }
                text
            }
            Framing::Frames(frames) if frames.is_open() => b"!?".to_vec(),
            Framing::Frames(_) => Vec::new(),
            Framing::Unknown if self.head.is_empty() => Vec::new(),
            _ => b"?".to_vec(),
        }
    }
}

fn begin_of(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).map(|at| from + at)
}

impl Values {
    fn feed(&mut self, piece: &[u8], reader: &mut Reader, kept: &mut Kept, lists: &Lists) {
        let mut at = 0;
        while at < piece.len() {
            at = reader.read(piece, at);
            if reader.newline {
                self.tell_queue(kept, lists);
            }
            if !reader.is_between() || !reader.has_begun() {
                continue;
            }
            if reader.is_behind_element() && !reader.out.is_empty() {
                if !reader.newline && self.queue_bytes < EVENT_BYTES {
                    let mut text = Vec::new();
                    reader.whole(&mut text);
                    self.queue_bytes += reader.out.len();
                    self.queue.get_or_insert_with(Vec::new).push(text);
                } else {
                    self.tell_queue(kept, lists);
                    value_ended(reader, kept, lists);
                }
                reader.forget();
            } else if reader.is_at_top() && (at < piece.len() || piece.last() == Some(&b'\n')) {
                // Of values that are no containers a body may hold as many as words.
                let is_container = matches!(reader.out.first(), Some(b'{' | b'[' | b']' | b','));
                self.scalars = if is_container { 0 } else { self.scalars + 1 };
                self.tell_queue(kept, lists);
                if self.scalars <= TEXTS {
                    value_ended(reader, kept, lists);
                }
                reader.clear();
            }
        }
    }

    /// Elements that have come within the first line.
    fn tell_queue(&mut self, kept: &mut Kept, lists: &Lists) {
        if let Some(queue) = self.queue.take() {
            for text in queue {
                kept.event(&text, &lists.result);
            }
            self.queue_bytes = EVENT_BYTES;
        }
    }
}

fn value_ended(reader: &mut Reader, kept: &mut Kept, lists: &Lists) {
    let mut text = Vec::new();
    reader.whole(&mut text);
    kept.event(&text, &lists.result);
    if std::mem::take(&mut reader.cut) {
        kept.cut("event");
    }
}
