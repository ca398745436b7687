//! Hiding that a stream was counted: the answer as the provider would have sent it to somebody who did not ask.
//!
//! In: pieces of server-sent events. Out: the same without the chunk that brings the usage (its `choices` is empty) and
//! without the member `"usage": null` of all others. A line is held back until it has ended; what is held when the
//! answer ends is let go.

use crate::limits::HELD_BYTES;
use crate::text::{contains, filled, is_blank, trimmed};
use std::ops::Range;

#[derive(Default)]
pub struct Hider {
    held: Vec<u8>,
    fields: Vec<u8>, // of an event whose data has not come
    is_dropping: bool,
}

/// The end of the JSON value that begins at `from`: its last byte; None where it does not end.
pub fn value_end(text: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = from;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += 1;
                while *text.get(at)? != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 0 {
                    return Some(at);
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at.checked_sub(1),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            b',' if depth == 0 => return at.checked_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A member of the object at the top of a text. before: the comma or the bracket before it; value: its bytes.
pub struct Member<'a> {
    pub name: &'a [u8],
    pub before: usize,
    pub value: Range<usize>,
    pub next: usize, // the comma or the bracket behind it
}

/// The member behind a bracket or a comma.
pub fn member(text: &[u8], before: usize) -> Option<Member<'_>> {
    let quote = filled(text, before + 1).filter(|&at| text[at] == b'"')?;
    let name_end = quote + 1 + text[quote + 1..].iter().position(|&byte| byte == b'"')?;
    let rest = text.get(name_end + 1..)?;
    let start = name_end + 1 + rest.iter().position(|&byte| !is_blank(byte) && byte != b':')?;
    let stop = value_end(text, start)?;
    let next = filled(text, stop + 1)?;
    Some(Member { name: &text[quote + 1..name_end], before, value: start..stop + 1, next })
}

enum Seen {
    Whole,
    Usage,
    Without(Range<usize>),
}

/// What the client may see of the object in a line: all, nothing, or all without its `"usage": null`.
fn seen_of(text: &[u8]) -> Seen {
    let mut before = match text.iter().position(|&byte| byte == b'{') {
        Some(at) => at,
        None => return Seen::Whole,
    };
    let (mut null, mut is_empty, mut is_counted) = (None, false, false);
    loop {
        let found = match member(text, before) {
            Some(found) => found,
            None => return Seen::Whole,
        };
        let value = trimmed(&text[found.value.clone()]);
        if found.name == b"choices" {
            is_empty = matches!(value, [b'[', inner @ .., b']'] if trimmed(inner).is_empty());
        } else if found.name == b"usage" && value == b"null" {
            let is_first_of_more = text[found.before] == b'{' && text[found.next] == b',';
            // Of the first member its own comma goes, too.
            let range = if is_first_of_more { found.before + 1..found.next + 1 } else { found.before..found.value.end };
            let is_alone = text[found.before] == b'{' && !is_first_of_more;
            null = Some(if is_alone { found.before + 1..found.value.end } else { range });
        } else if found.name == b"usage" {
            is_counted = true;
        }
        if text[found.next] != b',' {
            break;
        }
        before = found.next;
    }
    match null {
        _ if is_empty && is_counted => Seen::Usage,
        Some(range) => Seen::Without(range),
        None => Seen::Whole,
    }
}

/// A line without its end: what the client may see of it; None where it is the chunk that nobody asked for.
fn visible(line: &[u8]) -> Option<Vec<u8>> {
    if !line.starts_with(b"data:") || !contains(line, b"\"usage\"") {
        return Some(line.to_vec());
    }
    match seen_of(line) {
        Seen::Whole => Some(line.to_vec()),
        Seen::Usage => None,
        Seen::Without(range) => Some([&line[..range.start], &line[range.end..]].concat()),
    }
}

impl Hider {
    /// What is held back now.
    pub fn held(&self) -> Vec<u8> {
        [&self.fields[..], &self.held].concat()
    }

    /// What the client may see now of a piece.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        point!("hide");
        let is_between = self.held.is_empty() && !self.is_dropping && self.fields.is_empty();
        if is_between && piece.ends_with(b"\n\n") && !contains(piece, b"\"usage\"") {
            return piece.to_vec();
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(piece);
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = text[at..].iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            let end = at + found;
            if text[end] == b'\r' && end + 1 == text.len() {
                break;
            }
            let is_pair = text[end] == b'\r' && text[end + 1] == b'\n';
            let next = end + 1 + usize::from(is_pair);
            self.line(&text[at..end], &text[end..next], &mut out);
            at = next;
        }
        self.held = text.split_off(at);
        if self.held.len() + self.fields.len() > HELD_BYTES {
            out.append(&mut self.fields);
            out.append(&mut self.held);
        }
        out
    }

    fn line(&mut self, line: &[u8], ending: &[u8], out: &mut Vec<u8>) {
        if line.is_empty() {
            if !std::mem::take(&mut self.is_dropping) {
                out.append(&mut self.fields);
                out.extend_from_slice(ending);
            }
            return;
        }
        self.is_dropping = false;
        let is_field = [&b"event:"[..], b"id:", b"retry:"].iter().any(|field| line.starts_with(field));
        if is_field {
            self.fields.extend_from_slice(line);
            self.fields.extend_from_slice(ending);
            return;
        }
        match visible(line) {
            Some(seen) => {
                out.append(&mut self.fields);
                out.extend_from_slice(&seen);
                out.extend_from_slice(ending);
            }
            None => {
                self.is_dropping = true;
                self.fields.clear();
            }
        }
    }

    /// What is left when the answer has ended.
    pub fn rest(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let fields = std::mem::take(&mut self.fields);
        let end = held.iter().position(|&byte| byte == b'\r').unwrap_or(held.len());
        match visible(&held[..end]) {
            Some(seen) => [&fields[..], &seen, &held[end..]].concat(),
            None => Vec::new(),
        }
    }
}
