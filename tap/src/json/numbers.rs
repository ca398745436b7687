//! Numbers and words of a JSON body -> what is left of them, by what their names mean.
//!
//! In: bytes, of which a number may be cut anywhere. What is no JSON value is noted, and stays none.

use super::{Lex, Reader};
use crate::lists::Kind;
use crate::text::is_blank;

impl Reader {
    pub(super) fn scalar_in(&mut self, piece: &[u8], from: usize) -> usize {
        let ends = |&byte: &u8| is_blank(byte) || matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"');
        let found = piece[from..].iter().position(ends);
        let stop = found.map_or(piece.len(), |at| from + at);
        if self.scalar.len() <= 64 {
            self.scalar.extend_from_slice(&piece[from..stop.min(from + 65)]);
        }
        if found.is_none() {
            self.lex = Lex::Scalar;
            return stop;
        }
        self.lex = Lex::Nothing;
        let text = std::mem::take(&mut self.scalar);
        self.scalar_ended(&text);
        self.scalar = text;
        self.scalar.clear();
        stop
    }

    pub(super) fn scalar_ended(&mut self, text: &[u8]) {
        let kind = self.begun();
        if let Some(word) = word_of(text) {
            if kind != Kind::Nothing {
                self.keep(word);
            }
        } else if text.len() > 64 || is_number(text) {
            if kind != Kind::Nothing {
                self.number_ended(kind, text);
            }
        } else {
            self.spoil(2);
        }
    }

    pub(super) fn number_ended(&mut self, kind: Kind, text: &[u8]) {
        let level = &self.levels[self.depth];
        if text.len() > 64 {
            self.keep(b"null");
        } else if keeps_numbers(kind) {
            self.keep(text);
        } else if level.object || kind == Kind::List || level.count == 0 || self.depth == 0 {
            let is_zero = kind == Kind::List || text == b"0";
            self.keep(if is_zero { b"0" } else { b"1" });
        } // of a vector the first number stands for all
    }
}

pub(super) fn word_of(text: &[u8]) -> Option<&'static [u8]> {
    match text {
        b"true" => Some(b"true"),
        b"false" => Some(b"false"),
        b"null" | b"NaN" | b"Infinity" | b"-Infinity" => Some(b"null"),
        _ => None,
    }
}

pub(super) fn keeps_numbers(kind: Kind) -> bool {
    matches!(kind, Kind::Number | Kind::WordOrNumber | Kind::Moment | Kind::Counted | Kind::Measured | Kind::Figure)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

pub(super) fn is_number(text: &[u8]) -> bool {
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (rest[0] == b'0' && whole > 1) {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = match exponent {
            [b'+' | b'-', others @ ..] => others,
            others => others,
        };
        return !unsigned.is_empty() && digits(unsigned) == unsigned.len();
    }
    rest.is_empty()
}
