//! AWS frames in pieces of any size -> reduced events.
//!
//! In: bytes. Out: the text of each frame: "v<name>|<JSON>" of an event, c: of one in an envelope of base64, x: of an
//! exception, r: of an error, with the phrases of its message; "!" of a frame that is damaged, "!!" of the last that can
//! be found. What it must never know: what a frame means.

use crate::json::Reader;
use crate::keeping::Kept;
use crate::limits::{EVENT_NAME_BYTES, PAYLOAD_BYTES};
use crate::lists::Lists;
use crate::text::{filled, find, joined, phrases, safe};
use std::sync::Arc;

const FRAME_BYTES_MAX: usize = 24 * 1024 * 1024;
const SUMS: [u32; 256] = sums();

const fn sums() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, &byte| SUMS[((sum ^ u32::from(byte)) & 255) as usize] ^ (sum >> 8))
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub struct Frames {
    lists: Arc<Lists>,
    buffer: Vec<u8>,
    lost: bool,
}

impl Frames {
    pub fn new(lists: &Arc<Lists>) -> Frames {
        Frames { lists: Arc::clone(lists), buffer: Vec::new(), lost: false }
    }

    /// Whether a frame has begun and not ended.
    pub fn is_open(&self) -> bool {
        !self.buffer.is_empty() && !self.lost
    }

    pub fn feed(&mut self, piece: &[u8], reader: &mut Reader, kept: &mut Kept) {
        point!("frames");
        if self.lost {
            return;
        }
        let bytes = &*joined(&mut self.buffer, piece);
        let mut at = 0;
        while bytes.len() - at >= 12 {
            let (total, headers) = (word32(bytes, at) as usize, word32(bytes, at + 4) as usize);
            let is_sound = (16..=FRAME_BYTES_MAX).contains(&total)
                && headers <= total - 16
                && crc32(&bytes[at..at + 8]) == word32(bytes, at + 8);
            if !is_sound {
                self.lost = true;
                return kept.event(b"!!", &self.lists.result);
            }
            if total > PAYLOAD_BYTES {
                self.lost = true;
                return kept.cut("frame");
            }
            if bytes.len() - at < total {
                break;
            }
            let frame = &bytes[at..at + total];
            if crc32(&frame[..total - 4]) == word32(frame, total - 4) {
                self.frame(&frame[12..12 + headers], &frame[12 + headers..total - 4], reader, kept);
            } else {
                kept.event(b"!", &self.lists.result);
            }
            at += total;
        }
        self.buffer = bytes[at..].to_vec();
    }

    fn frame(&self, headers: &[u8], payload: &[u8], reader: &mut Reader, kept: &mut Kept) {
        let (mut kind, name, message) = told(headers);
        let mut inner = None;
        if kind == b'v' && name == b"chunk" {
            if let Some(packed) = envelope(payload) {
                kind = b'c';
                match unpacked(packed) {
                    Some(bytes) if bytes.is_empty() => inner = Some(b"{}".to_vec()),
                    Some(bytes) => inner = Some(bytes),
                    None => return kept.event(b"!", &self.lists.result),
                }
            }
        }
        let body = inner.as_deref().unwrap_or(payload);
        let mut text = vec![kind];
        safe(&mut text, &name[..name.len().min(EVENT_NAME_BYTES)]);
        text.push(b'|');
        if kind == b'r' {
            phrases(&mut text, message, &self.lists.phrases);
            text.push(b'|');
        }
        if !body.is_empty() {
            reader.clear();
            reader.read(body, 0);
            reader.read(b"\n", 0);
            if reader.is_open() || !reader.has_begun() {
                text.push(b'?');
            } else {
                reader.whole(&mut text);
            }
        }
        kept.event(&text, &self.lists.result);
    }
}

/// (kind, name, message) of a frame: v an event, x an exception, r an error.
fn told(headers: &[u8]) -> (u8, &[u8], &[u8]) {
    let of = |wanted: &[u8]| texts(headers).into_iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let nothing: &[u8] = b"";
    match of(b":message-type") {
        Some(b"exception") => (b'x', of(b":exception-type").unwrap_or(nothing), nothing),
        Some(b"error") => (b'r', of(b":error-code").unwrap_or(nothing), of(b":error-message").unwrap_or(nothing)),
        _ => (b'v', of(b":event-type").unwrap_or(nothing), nothing),
    }
}

/// The headers of a frame that are texts, as far as they can be read.
fn texts(headers: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let mut rest = headers;
    while let Some((&length, after)) = rest.split_first() {
        let name = match after.get(..length as usize) {
            Some(name) => name,
            None => break,
        };
        let (kind, after) = match after[length as usize..].split_first() {
            Some(split) => split,
            None => break,
        };
        let bytes = match kind {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            9 => 16,
            6 | 7 if after.len() >= 2 => 2 + usize::from(u16::from_be_bytes([after[0], after[1]])),
            _ => break,
        };
        let value = match after.get(..bytes) {
            Some(value) => value,
            None => break,
        };
        if *kind == 7 {
            found.push((name, &value[2..]));
        }
        rest = &after[bytes..];
    }
    found
}

/// The base64 in `"bytes": "..."`.
fn envelope(payload: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let at = from + find(&payload[from..], b"\"bytes\":")? + 8;
        from = at;
        let start = filled(payload, at)?;
        if payload[start] == b'"' {
            let length = payload[start + 1..].iter().position(|&byte| byte == b'"' || byte == b'\\')?;
            if payload[start + 1 + length] == b'"' {
                return Some(&payload[start + 1..start + 1 + length]);
            }
        }
    }
}

/// What base64 says; None where it is none.
fn unpacked(text: &[u8]) -> Option<Vec<u8>> {
    let six = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    if text.len() % 4 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let last = text.len() / 4;
    for (index, four) in text.chunks_exact(4).enumerate() {
        let is_last = index + 1 == last;
        let (one, two) = (six(four[0])?, six(four[1])?);
        bytes.push(one << 2 | two >> 4);
        if is_last && four[2] == b'=' && four[3] == b'=' {
            break;
        }
        let three = six(four[2])?;
        bytes.push(two << 4 | three >> 2);
        if is_last && four[3] == b'=' {
            break;
        }
        bytes.push(three << 6 | six(four[3])?);
    }
    Some(bytes)
}
