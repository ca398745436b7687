//! Texts of a JSON body -> what is left of them, by what their names mean.
//!
//! In: bytes, of which a text may be cut anywhere. What is no JSON text is noted. Bounded: of a text no more than its kind
//! allows is looked at.

use super::{Due, Lex, Mode, Reader, Target, Unit};
use crate::limits::{MESSAGE_BYTES, METADATA_BYTES, NAME_BYTES, TEXTS, WORD_BYTES};
use crate::lists::Kind;
use crate::text::{characters, phrases, safe, shortened, special};
use std::io::Write;

impl Reader {
    pub(super) fn text_starts(&mut self, target: Target, want: usize) {
        self.target = target;
        self.want = want;
        self.text.clear();
        self.filled = false;
        self.sick = false;
        self.escape = false;
        self.chars = 0;
        self.unit = Unit::Nothing;
    }

    pub(super) fn text_begins(&mut self, piece: &[u8], at: usize) -> usize {
        let level = &self.levels[self.depth];
        if level.object && level.due != Due::Value {
            return self.name_begins(piece, at);
        }
        let is_full = !level.object && level.count >= TEXTS;
        let mut kind = self.begun();
        if is_full && kind != Kind::List {
            kind = Kind::Nothing;
        }
        let from = at + 1;
        let end = match plain_end(piece, from) {
            Some(end) => end,
            None => {
                self.text_starts(Target::Value(kind), text_bytes(kind));
                return self.text_in(piece, from);
            }
        };
        match kind {
            Kind::Nothing => {}
            _ if end == from => self.keep(b"''"),
            Kind::Presence | Kind::Holder => self.keep(b"'*'"),
            _ => {
                self.text_starts(Target::Value(kind), text_bytes(kind));
                self.filled = true;
                self.text.extend_from_slice(&piece[from..end.min(from + self.want)]);
                if kind == Kind::Length {
                    self.chars = characters(&piece[from..end]);
                }
                self.text_ended();
            }
        }
        end + 1
    }

    pub(super) fn name_begins(&mut self, piece: &[u8], at: usize) -> usize {
        let level = &self.levels[self.depth];
        let is_silent = level.mode == Mode::Silent;
        if level.due != Due::First && level.due != Due::Next {
            self.spoil(1);
        }
        let end = match plain_end(piece, at + 1) {
            Some(end) => end,
            None => {
                self.text_starts(Target::Name, if is_silent { 0 } else { NAME_BYTES + 1 });
                return self.text_in(piece, at + 1);
            }
        };
        if !is_silent {
            self.named(&piece[at + 1..end]);
        }
        let is_told = piece.get(end + 1) == Some(&b':');
        self.levels[self.depth].due = if is_told { Due::Value } else { Due::Colon };
        end + 1 + usize::from(is_told)
    }

    /// Inside a text; where it ends.
    pub(super) fn text_in(&mut self, piece: &[u8], from: usize) -> usize {
        let mut at = from;
        self.unit(&piece[at..]);
        if self.escape && at < piece.len() {
            self.escape = false;
            if self.text.len() < self.want {
                self.text.push(b'\\');
            }
            at = self.escaped(piece, at);
        }
        let end = self.text_end(piece, at);
        let stop = end.unwrap_or_else(|| piece.len() - usize::from(self.escape)).max(from);
        self.take(&piece[from..stop]);
        if self.target == Target::Value(Kind::Length) {
            self.chars += characters(&piece[from..end.unwrap_or(piece.len())]);
        }
        match end {
            None => {
                self.lex = Lex::Text;
                piece.len()
            }
            Some(quote) => {
                self.lex = Lex::Nothing;
                self.text_ended();
                quote + 1
            }
        }
    }

    /// Where the text that `from` is in ends, if that is here.
    pub(super) fn text_end(&mut self, piece: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += special(piece.get(at..)?)?;
            match piece[at] {
                b'"' => return Some(at),
                b'\\' if at + 1 == piece.len() => {
                    self.escape = true;
                    return None;
                }
                b'\\' => at = self.escaped(piece, at + 1),
                _ => {
                    self.sick = true;
                    at += 1;
                }
            }
        }
    }

    /// What follows a backslash; where to go on.
    pub(super) fn escaped(&mut self, piece: &[u8], at: usize) -> usize {
        let byte = piece[at];
        if !matches!(byte, b'"' | b'/' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' | b'u') {
            self.sick = true;
        }
        if byte == b'u' {
            let digits = &piece[at + 1..piece.len().min(at + 5)];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                self.sick = true;
            }
        }
        if self.target == Target::Value(Kind::Length) {
            self.chars -= if byte == b'u' { 5 } else { 1 };
            self.unit = if byte == b'u' { Unit::First } else { Unit::Nothing };
            self.unit(&piece[at + 1..]);
        }
        at + 1
    }

    /// Digits of a unit: of \uD83D\uDE00 the second half is no character of its own.
    pub(super) fn unit(&mut self, digits: &[u8]) {
        for digit in digits {
            self.unit = match (self.unit, digit) {
                (Unit::Nothing, _) => return,
                (Unit::First, b'd' | b'D') => Unit::Second,
                (Unit::Second, b'c'..=b'f' | b'C'..=b'F') => {
                    self.chars -= 1;
                    Unit::Nothing
                }
                _ => Unit::Nothing,
            };
        }
    }

    pub(super) fn take(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.filled = true;
        let more = self.want.saturating_sub(self.text.len());
        self.text.extend_from_slice(&part[..part.len().min(more)]);
    }

    pub(super) fn text_ended(&mut self) {
        if self.sick {
            self.sick = false;
            self.spoil(1);
        }
        let text = std::mem::take(&mut self.text);
        match self.target {
            Target::Name => self.named(&text),
            Target::Value(Kind::Nothing) => {}
            Target::Value(_) if !self.filled => self.keep(b"''"),
            Target::Value(Kind::Presence | Kind::Holder) => self.keep(b"'*'"),
            Target::Value(Kind::List) => self.keep(b"0"),
            Target::Value(Kind::Length) => {
                self.begin_kept();
                let _ = write!(self.out, "'*{}'", self.chars);
            }
            Target::Value(kind) => {
                let mut left = std::mem::take(&mut self.left);
                left.clear();
                self.remainder(&mut left, kind, &text);
                if kind != Kind::Figure || left != b"*" {
                    self.keep(b"'");
                    self.out.extend_from_slice(&left);
                    self.out.push(b'\'');
                }
                self.left = left;
            }
        }
        self.text = text;
    }

    /// What is left of a text that is not empty.
    pub(super) fn remainder(&mut self, out: &mut Vec<u8>, kind: Kind, text: &[u8]) {
        let is_counted = |&byte: &u8| byte.is_ascii_alphanumeric() || byte >= 128 || b"_.:/@%-".contains(&byte);
        let number = text.strip_prefix(b"-").unwrap_or(text);
        let is_number = !number.is_empty() && number.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.');
        match kind {
            Kind::Asking if self.levels[self.depth].mode != Mode::Metadata => out.push(b'*'),
            Kind::Word | Kind::WordOrNumber | Kind::Asking => {
                let bytes = text_bytes(kind);
                safe(out, if text.len() >= bytes { shortened(text, bytes - 1) } else { text });
            }
            Kind::Moment => {
                let moment = self.moment.get_or_insert_with(|| {
                    let mut first = Vec::new();
                    if text.len() < 40 {
                        safe(&mut first, text);
                    } else {
                        first.push(b'*');
                    }
                    first
                });
                out.extend_from_slice(moment);
            }
            Kind::Counted if text.len() <= 64 && text.iter().all(is_counted) => safe(out, text),
            Kind::Number | Kind::Measured | Kind::Figure if text.len() < 32 && is_number => out.extend_from_slice(text),
            Kind::Message | Kind::Failure => phrases(out, text, &self.lists.phrases),
            _ => out.push(b'*'),
        }
    }
}

/// How much of a text is looked at, by what its name means.
pub(super) fn text_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Word | Kind::WordOrNumber => WORD_BYTES,
        Kind::Moment => 40,
        Kind::Counted => 65,
        Kind::Number | Kind::Measured | Kind::Figure => 32,
        Kind::Message | Kind::Failure => MESSAGE_BYTES,
        Kind::Asking => METADATA_BYTES,
        _ => 0,
    }
}

/// Where the text that begins here ends, if that is here and it holds nothing odd.
pub(super) fn plain_end(piece: &[u8], from: usize) -> Option<usize> {
    let end = from + special(&piece[from..])?;
    (piece[end] == b'"').then(|| end)
}

/// Where a text ends, whatever is in it.
pub(super) fn quote_of(piece: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += special(piece.get(at..)?)?;
        match piece[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
