//! JSON in pieces of any size -> the same shape without its texts.
//!
//! In: bytes, as they come, cut anywhere. Out: JSON text in `out`, with ' for " and %XX for what the log must not hold
//! raw, that reads as the original would as far as the lists go. Damage stays damage: what is no JSON comes out as no
//! JSON. Bounded: of a text no more than its kind allows is looked at; containers that are too deep are counted and not
//! kept. What it must never know: which API the bytes belong to, what frames them.

mod containers;
mod numbers;
mod texts;
mod unfinished;

use crate::limits::{EVENT_BYTES, EVENT_BYTES_RESERVED, ITEMS, LENGTHS, NAME_BYTES};
use crate::lists::{Kind, Lists};
use crate::text::{safe, shortened};
use std::sync::Arc;

/// How the names in a container are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Silent,
    Plain,
    Top,
    Failed,
    Counts,
    Measures,
    Metadata,
}

/// What is due in a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    First,
    Next,
    Colon,
    Value,
    After,
}

/// What was cut by the end of a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lex {
    Nothing,
    Text,
    Scalar,
    Vector,
}

/// Which digit of \uXXXX is due, of those that tell what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Nothing,
    First,
    Second,
}

/// What a text is: the name of a member, or a value of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Name,
    Value(Kind),
}

/// A container that is open. item: the kind of what comes next in it; piece: the name before it.
struct Level {
    object: bool,
    due: Due,
    mode: Mode,
    shown: bool,
    item: Kind,
    piece: Vec<u8>,
    count: usize,
    any: bool,
}

/// One reading.
pub struct Reader {
    lists: Arc<Lists>,
    asked: bool, // a request, of whose damage the provider will tell: containers that nobody keeps are skipped
    levels: Vec<Level>,
    depth: usize,
    pub out: Vec<u8>,
    skip: usize,
    lex: Lex,
    spoilt: u8, // 1: a place that a patient reader overlooks; 2: a token that is none
    stops: bool,
    pub newline: bool,
    pub cut: bool,
    target: Target,
    text: Vec<u8>,
    want: usize,
    filled: bool,
    escape: bool,
    sick: bool,
    chars: i64,
    unit: Unit,
    scalar: Vec<u8>,
    moment: Option<Vec<u8>>,
    left: Vec<u8>,
}

impl Reader {
    /// stops: after a newline or a value at the top, or an element of a list at the top.
    pub fn new(lists: &Arc<Lists>, asked: bool, stops: bool) -> Reader {
        let mode = if asked { Mode::Plain } else { Mode::Top };
        let base = Level {
            object: false,
            due: Due::First,
            mode,
            shown: true,
            item: Kind::Holder,
            piece: Vec::new(),
            count: 0,
            any: false,
        };
        Reader {
            lists: Arc::clone(lists),
            asked,
            levels: vec![base],
            depth: 0,
            out: Vec::new(),
            skip: 0,
            lex: Lex::Nothing,
            spoilt: 0,
            stops,
            newline: false,
            cut: false,
            target: Target::Value(Kind::Nothing),
            text: Vec::new(),
            want: 0,
            filled: false,
            escape: false,
            sick: false,
            chars: 0,
            unit: Unit::Nothing,
            scalar: Vec::new(),
            moment: None,
            left: Vec::new(),
        }
    }

    pub fn stop_at_values(&mut self) {
        self.stops = true;
    }

    /// A new value at the top begins.
    pub fn clear(&mut self) {
        self.forget();
        self.skip = 0;
        self.lex = Lex::Nothing;
        self.depth = 0;
        let base = &mut self.levels[0];
        base.due = Due::First;
        base.count = 0;
        base.any = false;
    }

    /// What was kept has been taken.
    pub fn forget(&mut self) {
        self.out.clear();
        self.spoilt = 0;
    }

    /// Whether a value has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.lex != Lex::Nothing || self.skip > 0 || self.depth > 0
    }

    /// Whether anything has come.
    pub fn has_begun(&self) -> bool {
        !self.out.is_empty() || self.spoilt > 0
    }

    pub fn is_spoilt(&self) -> bool {
        self.spoilt > 0
    }

    /// Whether no token was cut by the end of the piece.
    pub fn is_between(&self) -> bool {
        self.lex == Lex::Nothing && self.skip == 0
    }

    pub fn is_at_top(&self) -> bool {
        self.depth == 0
    }

    /// Whether an element of a list at the top has just ended.
    pub fn is_behind_element(&self) -> bool {
        let level = &self.levels[self.depth];
        self.depth == 1 && !level.object && level.due == Due::After
    }

    /// Behind a value, so that it is no JSON in the same way.
    pub fn mark(&self) -> &'static [u8] {
        [&b""[..], b",", b"?"][self.spoilt as usize]
    }

    /// The text of a value that is whole.
    pub fn whole(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.out);
        out.extend_from_slice(self.mark());
    }

    /// Read a piece; where it stopped.
    pub fn read(&mut self, piece: &[u8], from: usize) -> usize {
        point!("read");
        let mut at = from;
        if self.lex != Lex::Nothing && at < piece.len() {
            at = self.go_on(piece, at);
        }
        while at < piece.len() {
            let byte = piece[at];
            if byte == b' ' {
                at += 1;
            } else if self.skip > 0 && self.asked {
                at = self.skipped(piece, at);
            } else if matches!(byte, b'\t' | b'\n' | b'\r') {
                at += 1;
                if byte == b'\n' && self.stops && (self.depth == 0 || !self.newline) {
                    self.newline = true;
                    return at;
                }
            } else if self.depth == 0 {
                if self.stops && self.levels[0].due == Due::After && self.skip == 0 && self.has_begun() {
                    return at; // one value is whole
                }
                at = self.token(piece, at, byte);
            } else {
                at = self.token(piece, at, byte);
                if self.stops && self.is_behind_element() && self.is_between() {
                    return at;
                }
            }
        }
        at
    }

    /// What was cut by the end of a piece goes on; where it ends.
    fn go_on(&mut self, piece: &[u8], at: usize) -> usize {
        match self.lex {
            Lex::Text => self.text_in(piece, at),
            Lex::Scalar => self.scalar_in(piece, at),
            _ => self.vector(piece, at),
        }
    }

    fn token(&mut self, piece: &[u8], at: usize, byte: u8) -> usize {
        match byte {
            b'"' if self.skip == 0 => return self.text_begins(piece, at),
            b'"' => {
                self.text_starts(Target::Value(Kind::Nothing), 0);
                return self.text_in(piece, at + 1);
            }
            b'{' | b'[' => self.opened(byte == b'{', piece, at),
            b'}' | b']' => self.closed(byte == b'}'),
            _ if self.skip > 0 => {}
            b',' => {
                if self.levels[self.depth].due != Due::After || self.depth == 0 {
                    self.spoil(1);
                }
                self.levels[self.depth].due = Due::Next;
            }
            b':' => {
                let level = &mut self.levels[self.depth];
                if level.object && level.due == Due::Colon {
                    level.due = Due::Value;
                } else {
                    self.spoil(1);
                }
            }
            _ => {
                let level = &self.levels[self.depth];
                let in_vector = level.mode == Mode::Silent && !level.object && level.due == Due::Next;
                if in_vector && (byte.is_ascii_digit() || byte == b'-') {
                    return self.vector(piece, at);
                }
                return self.scalar_in(piece, at);
            }
        }
        at + 1
    }

    fn spoil(&mut self, how: u8) {
        self.spoilt = self.spoilt.max(how);
    }

    // what is kept

    /// The comma and the name before a value that is kept.
    fn begin_kept(&mut self) {
        let level = &mut self.levels[self.depth];
        if level.count > 0 && self.depth > 0 {
            self.out.push(b',');
        }
        level.count += 1;
        if level.object {
            self.out.extend_from_slice(&level.piece);
        }
    }

    fn keep(&mut self, text: &[u8]) {
        self.begin_kept();
        self.out.extend_from_slice(text);
    }

    /// Whether a value of this kind is still kept where much has been kept already.
    fn has_room(&mut self, kind: Kind) -> bool {
        let level = &self.levels[self.depth];
        let is_shallow = self.depth <= 3 && kind != Kind::Presence && kind != Kind::Holder;
        let tells = kind == Kind::Counted || level.mode == Mode::Counts || is_shallow;
        let has_place = level.object || level.count < ITEMS || (level.item == Kind::List && level.count < LENGTHS);
        if self.out.len() < EVENT_BYTES {
            if has_place {
                return true;
            }
        } else if tells && self.out.len() < EVENT_BYTES + EVENT_BYTES_RESERVED {
            return true;
        }
        self.cut = true;
        false
    }

    /// The kind of the value that begins here; Nothing where it is not kept.
    fn begun(&mut self) -> Kind {
        let level = &mut self.levels[self.depth];
        let due = level.due;
        level.any = true;
        level.due = Due::After;
        let (kind, is_silent, count) = (level.item, level.mode == Mode::Silent, level.count);
        if level.object {
            if due != Due::Value {
                self.spoil(1);
                return Kind::Nothing;
            }
        } else if due == Due::After && self.depth > 0 {
            self.spoil(1);
        }
        if kind == Kind::Nothing || is_silent {
            return Kind::Nothing;
        }
        if (self.out.len() >= EVENT_BYTES || count >= ITEMS) && !self.has_room(kind) {
            return Kind::Nothing;
        }
        kind
    }

    // names

    fn meaning(&self, mode: Mode, name: &[u8]) -> Kind {
        let lists = &*self.lists;
        let names = if self.asked { &lists.asked } else { &lists.names };
        let listed = || names.get(name).copied();
        match mode {
            Mode::Silent => Kind::Nothing,
            Mode::Counts => Kind::Counted,
            Mode::Metadata if lists.asked_metadata.contains(name) => Kind::Asking,
            Mode::Metadata => Kind::Nothing,
            Mode::Failed => lists.failed.get(name).copied().or_else(listed).unwrap_or(Kind::Nothing),
            Mode::Plain => listed().unwrap_or(Kind::Nothing),
            Mode::Measures => listed().unwrap_or(Kind::Figure),
            Mode::Top => listed().or_else(|| lists.failed.get(name).copied()).unwrap_or_else(|| {
                if ends_in_failure(lists, name) {
                    Kind::Failure
                } else {
                    Kind::Nothing
                }
            }),
        }
    }

    fn named(&mut self, name: &[u8]) {
        let mode = self.levels[self.depth].mode;
        let kind = self.meaning(mode, name);
        let level = &mut self.levels[self.depth];
        level.due = Due::Colon;
        if mode == Mode::Silent {
            return;
        }
        level.item = kind;
        if kind != Kind::Nothing {
            level.piece.clear();
            level.piece.push(b'\'');
            safe(&mut level.piece, if name.len() > NAME_BYTES { shortened(name, NAME_BYTES) } else { name });
            level.piece.extend_from_slice(b"':");
        }
    }
}

fn ends_in_failure(lists: &Lists, name: &[u8]) -> bool {
    let is_word = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends = |ending: &Vec<u8>| name.len() > ending.len() && name.ends_with(ending);
    lists.failure_endings.iter().any(ends) && name.iter().all(is_word)
}
