//! Objects and arrays of a JSON body: which are kept, how names in them are read, where those end that nobody keeps.

use super::texts::quote_of;
use super::{Due, Level, Lex, Mode, Reader, Target};
use crate::limits::DEPTH;
use crate::lists::Kind;
use crate::text::filled;

impl Reader {
    /// How the names in a container of this kind are read; None where it is not kept at all.
    pub(super) fn inside(&self, kind: Kind, is_object: bool) -> Option<Mode> {
        let level = &self.levels[self.depth];
        let special = match kind {
            Kind::Nothing | Kind::Figure => return None,
            _ if self.depth == 0 => return Some(level.mode),
            Kind::List => return Some(if !is_object && level.object { Mode::Plain } else { Mode::Silent }),
            Kind::Measured if !is_object => return Some(Mode::Silent),
            Kind::Asking if level.mode == Mode::Metadata => return None,
            Kind::Counted => Some(Mode::Counts),
            Kind::Measured => Some(Mode::Measures),
            Kind::Failure => Some(Mode::Failed),
            Kind::Body => Some(Mode::Top),
            Kind::Presence | Kind::Length => Some(Mode::Silent),
            Kind::Asking => Some(Mode::Metadata),
            _ => None,
        };
        Some(special.unwrap_or(if level.object { Mode::Plain } else { level.mode }))
    }

    pub(super) fn opened(&mut self, is_object: bool, piece: &[u8], at: usize) {
        if self.skip > 0 || self.depth >= DEPTH {
            self.skip += 1;
            return;
        }
        let kind = self.begun();
        let mode = self.inside(kind, is_object);
        let inner = mode.unwrap_or(Mode::Silent);
        if self.asked && inner == Mode::Silent && self.dropped(mode.is_some(), is_object, piece, at) {
            return;
        }
        if mode.is_some() {
            self.keep(if is_object { b"{" } else { b"[" });
        }
        self.depth += 1;
        if self.levels.len() == self.depth {
            let piece = Vec::new();
            let (due, item) = (Due::First, kind);
            self.levels.push(Level {
                object: false,
                due,
                mode: inner,
                shown: false,
                item,
                piece,
                count: 0,
                any: false,
            });
        }
        let level = &mut self.levels[self.depth];
        level.object = is_object;
        level.due = Due::First;
        level.mode = inner;
        level.shown = mode.is_some();
        level.item = if is_object { Kind::Nothing } else { kind };
        level.piece.clear();
        level.count = 0;
        level.any = false;
    }

    /// Of a container that holds something and is kept no further: whether that much is known here.
    pub(super) fn dropped(&mut self, is_kept: bool, is_object: bool, piece: &[u8], at: usize) -> bool {
        match filled(piece, at + 1) {
            None => return false,
            Some(first) if matches!(piece[first], b']' | b'}') => return false,
            Some(_) => {}
        }
        if is_kept {
            self.keep(if is_object { b"{'*':0}" } else { b"[0]" });
        }
        self.skip = 1;
        true
    }

    pub(super) fn closed(&mut self, is_object: bool) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.depth == 0 {
            return self.spoil(2);
        }
        let level = &self.levels[self.depth];
        let is_marked = level.count == 0 && level.any && level.mode != Mode::Counts;
        if level.shown {
            self.out.extend_from_slice(match (level.object, is_marked) {
                (true, true) => b"'*':0}",
                (true, false) => b"}",
                (false, true) => b"0]",
                (false, false) => b"]",
            });
        }
        let (is_other, due) = (level.object != is_object, level.due);
        if is_other {
            self.spoil(2);
        }
        if matches!(due, Due::Next | Due::Colon | Due::Value) {
            self.spoil(1);
        }
        self.depth -= 1;
    }

    /// Through containers that nobody keeps, where damage in them is nobody's concern; where to go on.
    pub(super) fn skipped(&mut self, piece: &[u8], from: usize) -> usize {
        let mut at = from;
        let is_mark = |byte: &u8| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}');
        while let Some(found) = piece[at..].iter().position(is_mark) {
            let mark = at + found;
            at = mark + 1;
            match piece[mark] {
                b'"' => match quote_of(piece, at) {
                    Some(quote) => at = quote + 1,
                    None => {
                        self.text_starts(Target::Value(Kind::Nothing), 0);
                        return self.text_in(piece, at);
                    }
                },
                b'{' | b'[' => self.skip += 1,
                _ => {
                    self.skip -= 1;
                    if self.skip == 0 {
                        return at;
                    }
                }
            }
        }
        piece.len()
    }

    /// Numbers of a vector that nobody keeps, as far as they go.
    pub(super) fn vector(&mut self, piece: &[u8], from: usize) -> usize {
        let goes_on = |byte: &u8| matches!(byte, b'0'..=b'9' | b',' | b'.' | b'e' | b'E' | b'+' | b' ' | b'-');
        let found = piece[from..].iter().position(|byte| !goes_on(byte));
        let stop = found.map_or(piece.len(), |at| from + at);
        self.lex = if found.is_some() { Lex::Nothing } else { Lex::Vector };
        if let Some(&last) = piece[from..stop].iter().rev().find(|&&byte| byte != b' ') {
            self.levels[self.depth].due = if last == b',' { Due::Next } else { Due::After };
        }
        stop
    }
}
