//! Server-sent events in pieces of any size -> reduced events.
//!
//! In: bytes. Out: the text of each event, told with the moment of the piece that ended it: "d<name>|<JSON>"; e: of the
//! field `error`; j: of a bare line of JSON. Line ends are CRLF, LF or CR, also cut in two.
//! What it must never know: what an event means.

use crate::json::Reader;
use crate::keeping::Kept;
use crate::limits::EVENT_NAME_BYTES;
use crate::lists::Lists;
use crate::text::{joined, safe, trimmed};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    None,
    Data,
    Event,
    Error,
    Bare,
    Other,
}

/// The data of an event so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    None,
    Json,
    Done,
}

pub struct Events {
    lists: Arc<Lists>,
    line: Line,
    begun: Vec<u8>, // of a line of which nobody can say yet what it is
    name: Vec<u8>,
    data: Data,
    held: Vec<u8>, // perhaps [DONE]
    blank: bool,
    fresh: bool,
    after_return: bool,
    bare: Option<Reader>,
    spoken: Vec<u8>,
}

fn is_done(data: &[u8]) -> bool {
    trimmed(data) == b"[DONE]"
}

impl Events {
    pub fn new(lists: &Arc<Lists>) -> Events {
        Events {
            lists: Arc::clone(lists),
            line: Line::None,
            begun: Vec::new(),
            name: Vec::new(),
            data: Data::None,
            held: Vec::new(),
            blank: false,
            fresh: false,
            after_return: false,
            bare: None,
            spoken: Vec::new(),
        }
    }

    pub fn feed(&mut self, piece: &[u8], reader: &mut Reader, kept: &mut Kept) {
        point!("feed");
        let mut at = 0;
        if std::mem::take(&mut self.after_return) && piece.first() == Some(&b'\n') {
            at = 1;
        }
        while at < piece.len() {
            let found = piece[at..].iter().position(|&byte| byte == b'\n' || byte == b'\r');
            let end = match found {
                Some(found) => at + found,
                None => return self.part(&piece[at..], false, reader, kept),
            };
            self.part(&piece[at..end], true, reader, kept);
            at = end + 1;
            if piece[end] == b'\r' {
                if at == piece.len() {
                    self.after_return = true;
                } else if piece[at] == b'\n' {
                    at += 1;
                }
            }
        }
    }

    /// A part of a line; ended: it is the last.
    fn part(&mut self, part: &[u8], ended: bool, reader: &mut Reader, kept: &mut Kept) {
        if self.line != Line::None {
            return self.rest(part, ended, reader, kept);
        }
        let part = &*joined(&mut self.begun, part);
        if part.is_empty() {
            if ended {
                self.dispatched(reader, kept);
            }
            return;
        }
        match self.begins(part, ended) {
            Some(at) => self.rest(&part[at..], ended, reader, kept),
            None => self.begun = part.to_vec(),
        }
    }

    /// What kind of line begins: where its value does. None where too little has come.
    fn begins(&mut self, part: &[u8], ended: bool) -> Option<usize> {
        let first = part.iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(first, Some(b'{' | b'[')) {
            self.line = Line::Bare;
            self.bare = Some(Reader::new(&self.lists, false, false));
            return Some(0);
        }
        let colon = part.iter().position(|&byte| byte == b':');
        if colon.is_none() && !ended && part.len() <= 64 {
            return None;
        }
        self.blank = true;
        self.line = match &part[..colon.unwrap_or(part.len())] {
            b"data" => {
                self.fresh = true;
                Line::Data
            }
            b"event" => {
                self.name.clear();
                Line::Event
            }
            b"error" => {
                self.bare = None;
                Line::Error
            }
            _ => Line::Other,
        };
        Some(colon.map_or(part.len(), |at| at + 1))
    }

    fn rest(&mut self, part: &[u8], ended: bool, reader: &mut Reader, kept: &mut Kept) {
        let mut part = part;
        let in_value = matches!(self.line, Line::Data | Line::Event | Line::Error);
        if in_value && self.blank && !part.is_empty() {
            self.blank = false;
            part = part.strip_prefix(b" ").unwrap_or(part);
        }
        match self.line {
            Line::Data => self.data(part, ended, reader, kept),
            Line::Event => {
                let more = EVENT_NAME_BYTES.saturating_sub(self.name.len());
                self.name.extend_from_slice(&part[..part.len().min(more)]);
                if ended {
                    let name = std::mem::take(&mut self.name);
                    safe(&mut self.name, &name);
                }
            }
            Line::Error if self.bare.is_none() && !part.is_empty() && part[0] != b'{' => self.line = Line::Other,
            Line::Error if self.bare.is_none() && !part.is_empty() => {
                self.bare = Some(Reader::new(&self.lists, false, false));
                self.bare(part, ended, kept);
            }
            Line::Error | Line::Bare => self.bare(part, ended, kept),
            _ => {}
        }
        if ended {
            self.line = Line::None;
        }
    }

    /// A part of the value of a line of data.
    fn data(&mut self, part: &[u8], ended: bool, reader: &mut Reader, kept: &mut Kept) {
        let part = &*joined(&mut self.held, part);
        if self.fresh {
            if part.is_empty() && !ended {
                return;
            }
            if part.first() == Some(&b'[') && part.len() <= 16 {
                if !ended {
                    self.held = part.to_vec();
                    return;
                }
                if self.data == Data::None && is_done(part) {
                    self.data = Data::Done;
                    self.fresh = false;
                    return;
                }
            }
            self.data_begins(part, reader, kept);
            self.fresh = false;
            self.data = Data::Json;
        }
        reader.read(part, 0);
        if ended {
            reader.read(b"\n", 0);
        }
    }

    fn data_begins(&mut self, part: &[u8], reader: &mut Reader, kept: &mut Kept) {
        let is_whole = self.data == Data::Json && !reader.is_open() && !reader.out.is_empty();
        let begins_anew = matches!(part.first(), Some(b'{' | b'['));
        // In the first case the blank line between two events was forgotten.
        if (is_whole && begins_anew) || self.data == Data::Done {
            self.dispatched(reader, kept);
        }
    }

    fn speak(&mut self, text: &[u8]) {
        self.spoken.clear();
        self.spoken.push(b'd');
        self.spoken.extend_from_slice(&self.name);
        self.spoken.push(b'|');
        self.spoken.extend_from_slice(text);
    }

    /// Have the data so far in `spoken`; whether there is any.
    fn speak_data(&mut self, reader: &Reader) -> bool {
        match self.data {
            Data::Done => self.speak(b"[DONE]"),
            Data::Json if reader.is_open() => self.speak(b"?"),
            Data::Json if reader.has_begun() => {
                self.speak(b"");
                reader.whole(&mut self.spoken);
            }
            _ => return false,
        }
        true
    }

    fn dispatched(&mut self, reader: &mut Reader, kept: &mut Kept) {
        if self.speak_data(reader) {
            kept.event(&self.spoken, &self.lists.result);
        }
        if self.data == Data::Json && std::mem::take(&mut reader.cut) {
            kept.cut("event");
        }
        if self.data != Data::None {
            reader.clear();
        }
        self.data = Data::None;
        self.name.clear();
    }

    /// A line of JSON that is no field, or the field `error`: an event by itself.
    fn bare(&mut self, part: &[u8], ended: bool, kept: &mut Kept) {
        if let Some(reader) = &mut self.bare {
            reader.read(part, 0);
            if ended {
                reader.read(b"\n", 0);
                let mut text = Vec::new();
                self.speak_bare(&mut text);
                kept.event(&text, &self.lists.result);
            }
        }
    }

    fn speak_bare(&self, text: &mut Vec<u8>) {
        if let Some(reader) = &self.bare {
            text.push(if self.line == Line::Error { b'e' } else { b'j' });
            text.extend_from_slice(&self.name);
            text.push(b'|');
            if reader.is_open() {
                text.extend_from_slice(b"{?");
            } else {
                reader.whole(text);
            }
        }
    }

    /// What has come of an event that has not ended.
    pub fn unfinished(&mut self, reader: &Reader) -> Vec<u8> {
        let mut is_told = self.speak_data(reader);
        if self.data == Data::None && !self.held.is_empty() {
            self.speak(if is_done(&self.held) { b"[DONE]" } else { b"?" });
            is_told = true;
        }
        let mut text = if is_told { self.spoken.clone() } else { Vec::new() };
        if self.bare.is_some() && matches!(self.line, Line::Bare | Line::Error) {
            if is_told {
                text.push(b'~');
            }
            self.speak_bare(&mut text);
        }
        text
    }
}
