//! What has come of a value that is not whole, as text: its brackets stay open.

use super::numbers::{is_number, keeps_numbers, word_of};
use super::{Lex, Mode, Reader, Target};
use crate::lists::Kind;

impl Reader {
    pub fn unfinished(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.out);
        let level = &self.levels[self.depth];
        let is_shown = self.skip == 0 && level.shown;
        if is_shown && self.lex == Lex::Text {
            if let Target::Value(kind) = self.target {
                if kind != Kind::Nothing {
                    self.due_before(out);
                    out.push(b'\'');
                    self.unfinished_text(out, kind);
                    return;
                }
            }
        }
        if is_shown && self.lex == Lex::Scalar && level.item != Kind::Nothing {
            self.due_before(out);
            out.extend_from_slice(match word_of(&self.scalar) {
                Some(word) => word,
                None if !is_number(&self.scalar) => b"?",
                None if keeps_numbers(level.item) => &self.scalar,
                None if self.scalar == b"0" => b"0",
                None => b"1",
            });
            return;
        }
        let in_value = self.lex == Lex::Text && self.target != Target::Name;
        let mut has_more = self.lex == Lex::Scalar || in_value;
        let mut depth = self.depth;
        while !self.levels[depth].shown {
            depth -= 1;
            has_more = true;
        }
        let level = &self.levels[depth];
        let is_told = level.any || (has_more && depth == self.depth);
        if depth > 0 && level.count == 0 && level.mode != Mode::Counts && is_told {
            out.extend_from_slice(if level.object { b"'*':0" } else { b"0" });
        }
    }

    fn unfinished_text(&mut self, out: &mut Vec<u8>, kind: Kind) {
        if !self.filled {
            return;
        }
        if matches!(kind, Kind::List | Kind::Length) {
            out.push(b'*');
            return;
        }
        let moment = self.moment.clone();
        let text = std::mem::take(&mut self.text);
        self.remainder(out, kind, &text);
        self.text = text;
        self.moment = moment;
    }

    /// Of the container that is open: the comma and the name before a value.
    fn due_before(&self, out: &mut Vec<u8>) {
        let level = &self.levels[self.depth];
        if level.count > 0 && self.depth > 0 {
            out.push(b',');
        }
        if level.object {
            out.extend_from_slice(&level.piece);
        }
    }
}
