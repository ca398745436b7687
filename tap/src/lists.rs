//! What Envoy's configuration says: which names matter, and what a route wants beyond watching.
//!
//! In: lines of words between tabs, as `tap.py` writes them. Out: `Lists`, `Variant`; None for what cannot be read.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// What a name means, see `kept.py`. Figure: of a name that nobody knows, in what is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Nothing,
    Word,
    Number,
    WordOrNumber,
    Moment,
    Counted,
    Measured,
    List,
    Presence,
    Holder,
    Body,
    Message,
    Failure,
    Length,
    Asking,
    Figure,
}

/// Names are looked up, never learnt, so a quick hash does.
#[derive(Default)]
pub struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let mut hash = self.0 ^ 0xCBF2_9CE4_8422_2325;
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.0 = hash;
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

pub type Quickly = BuildHasherDefault<Quick>;
pub type Kinds = HashMap<Vec<u8>, Kind, Quickly>;
pub type Names = HashSet<Vec<u8>, Quickly>;

/// A header that says one of our words where its value holds `part`.
pub struct Says {
    pub word: Vec<u8>,
    pub header: Vec<u8>,
    pub part: Vec<u8>,
}

#[derive(Default)]
pub struct Lists {
    pub names: Kinds,
    pub failed: Kinds,
    pub asked: Kinds,
    pub asked_metadata: Names,
    pub asked_in_query: Names,
    pub asked_headers: Names,
    pub answered_headers: Names,
    pub attribution: Names,
    pub attribution_prefixes: Vec<Vec<u8>>,
    pub failure_endings: Vec<Vec<u8>>,
    pub phrases: Vec<Vec<u8>>,
    pub result: Vec<u8>,
    pub says: Vec<Says>,
}

fn kind_of(word: &[u8]) -> Option<Kind> {
    Some(match word {
        b"word" => Kind::Word,
        b"number" => Kind::Number,
        b"word_or_number" => Kind::WordOrNumber,
        b"moment" => Kind::Moment,
        b"counted" => Kind::Counted,
        b"measured" => Kind::Measured,
        b"list" => Kind::List,
        b"presence" => Kind::Presence,
        b"holder" => Kind::Holder,
        b"body" => Kind::Body,
        b"message" => Kind::Message,
        b"failure" => Kind::Failure,
        b"length" => Kind::Length,
        b"asking" => Kind::Asking,
        _ => return None,
    })
}

fn rows(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| line.split(|&byte| byte == b'\t').collect())
}

impl Lists {
    pub fn read(text: &[u8]) -> Option<Lists> {
        let mut lists = Lists::default();
        for row in rows(text) {
            match row[..] {
                [b"name", kind, name] => drop(lists.names.insert(name.to_vec(), kind_of(kind)?)),
                [b"failed", kind, name] => drop(lists.failed.insert(name.to_vec(), kind_of(kind)?)),
                [b"asked", kind, name] => drop(lists.asked.insert(name.to_vec(), kind_of(kind)?)),
                [b"asked_metadata", name] => drop(lists.asked_metadata.insert(name.to_vec())),
                [b"asked_in_query", name] => drop(lists.asked_in_query.insert(name.to_vec())),
                [b"asked_header", name] => drop(lists.asked_headers.insert(name.to_vec())),
                [b"answered_header", name] => drop(lists.answered_headers.insert(name.to_vec())),
                [b"attribution", name] => drop(lists.attribution.insert(name.to_vec())),
                [b"attribution_prefix", prefix] => lists.attribution_prefixes.push(prefix.to_vec()),
                [b"failure_ending", ending] => lists.failure_endings.push(ending.to_vec()),
                [b"phrase", phrase] => lists.phrases.push(phrase.to_vec()),
                [b"result", name] => lists.result = [b"'", name, b"'"].concat(),
                [b"says", word, header, part] => {
                    lists.says.push(Says { word: word.to_vec(), header: header.to_vec(), part: part.to_vec() });
                }
                _ => return None,
            }
        }
        Some(lists)
    }
}

/// What a route wants. model: what is asked for in place of what the request says, as JSON. again: the cluster where a
/// request goes that was refused for what we added; empty: nowhere.
pub struct Variant {
    pub include_usage: bool,
    pub required: Vec<Vec<u8>>,
    pub model: Vec<u8>,
    pub experiment: Vec<u8>,
    pub arm: Vec<u8>,
    pub again: Vec<u8>,
}

/// Of a route that wants no more.
pub static WATCHING: Variant = Variant::watching();

impl Variant {
    const fn watching() -> Variant {
        Variant {
            include_usage: false,
            required: Vec::new(),
            model: Vec::new(),
            experiment: Vec::new(),
            arm: Vec::new(),
            again: Vec::new(),
        }
    }

    pub fn read(text: &[u8]) -> Option<Variant> {
        let mut variant = Variant::watching();
        for row in rows(text) {
            match row[..] {
                [b"include_usage"] => variant.include_usage = true,
                [b"required", word] => variant.required.push(word.to_vec()),
                [b"model", model] => variant.model = model.to_vec(),
                [b"experiment", name] => variant.experiment = name.to_vec(),
                [b"arm", name] => variant.arm = name.to_vec(),
                [b"again", cluster] => variant.again = cluster.to_vec(),
                _ => return None,
            }
        }
        Some(variant)
    }

    /// Whether a request may be changed or refused for what it says: then it is looked at in one piece.
    pub fn changes(&self) -> bool {
        self.include_usage || !self.model.is_empty() || !self.required.is_empty()
    }
}
