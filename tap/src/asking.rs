//! A request: what is kept of it, what is taken off it, what is added.
//!
//! In: headers and the body of a request. Out: for the log, the trace and the place, who is asking, the members of the
//! body; a body that asks for the usage of its stream, or for another model.

use crate::hiding::{member, Member};
use crate::json::Reader;
use crate::limits::{
    ATTRIBUTION_BYTES, BAGGAGE_BYTES, FORM_FIELDS, FORM_VALUE_BYTES, PATH_BYTES, QUERY_BYTES, WORD_BYTES,
};
use crate::lists::{Kind, Lists};
use crate::text::{contains, filled, find, safe, trimmed, worded};
use std::cell::RefCell;
use std::sync::Arc;

/// What the headers of a request say. strip: names that are taken off.
#[derive(Default)]
pub struct Heard {
    pub kept: Vec<u8>,
    pub who: Vec<u8>,
    pub strip: Vec<Vec<u8>>,
    pub path: Vec<u8>,
    pub method: Vec<u8>,
    pub id: Vec<u8>,
    pub kind: Vec<u8>,
    pub length: Option<usize>,
    pub traceparent: Option<Vec<u8>>,
    pub baggage: Option<Vec<u8>>, // the members of others, where ours were taken off
    pub has_no_body: bool,        // or one that nobody reads
    pub is_again: bool,
}

pub fn heard<'a>(lists: &Lists, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Heard {
    point!("heard");
    let mut said = Heard::default();
    for (name, value) in headers {
        if lists.asked_headers.contains(name) {
            said.kept.push(b'|');
            worded(&mut said.kept, name, value, WORD_BYTES);
        }
        match name {
            b":path" => said.path = value.to_vec(),
            b":method" => {
                said.has_no_body |= value == b"GET" || value == b"HEAD";
                said.method = value.to_vec();
            }
            b"x-request-id" => said.id = value.to_vec(),
            b"upgrade" | b"content-encoding" => said.has_no_body = true,
            b"content-length" => said.length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            b"content-type" => said.kind = value.to_vec(),
            b"accept-encoding" => said.strip.push(name.to_vec()),
            b"traceparent" => said.traceparent = Some(value.to_vec()),
            b"baggage" => parted(&mut said, value),
            b"x-tachograph-again" => {
                said.is_again = true;
                said.strip.push(name.to_vec());
            }
            _ if attributes(lists, name) => {
                said.strip.push(name.to_vec());
                said.who.push(b'|');
                worded(&mut said.who, name, value, ATTRIBUTION_BYTES);
            }
            _ => {}
        }
    }
    said
}

fn attributes(lists: &Lists, name: &[u8]) -> bool {
    lists.attribution.contains(name) || lists.attribution_prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Our members of a `baggage` header say who is asking; those of others go on.
fn parted(said: &mut Heard, baggage: &[u8]) {
    let members = baggage.split(|&byte| byte == b',').map(trimmed).filter(|member| !member.is_empty());
    let (ours, others): (Vec<&[u8]>, Vec<&[u8]>) = members.partition(|member| member.starts_with(b"tachograph."));
    if !ours.is_empty() {
        said.who.push(b'|');
        worded(&mut said.who, b"baggage", &ours.join(&b","[..]), BAGGAGE_BYTES);
        said.baggage = Some(others.join(&b","[..]));
    }
}

// ids

extern "C" {
    fn getentropy(buffer: *mut u8, length: usize) -> std::os::raw::c_int;
}

const SUPPLY: usize = 256;

thread_local! {
    static RANDOM: RefCell<([u8; SUPPLY], usize)> = RefCell::new(([0; SUPPLY], SUPPLY));
}

/// So many random bytes as hexadecimal digits, of a supply that is made in one go.
fn random(out: &mut Vec<u8>, bytes: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    RANDOM.with(|random| {
        let (supply, used) = &mut *random.borrow_mut();
        if SUPPLY - *used < bytes {
            // SAFETY: the buffer is ours and as long as is said.
            assert_eq!(unsafe { getentropy(supply.as_mut_ptr(), SUPPLY) }, 0, "no entropy");
            *used = 0;
        }
        for byte in &supply[*used..*used + bytes] {
            out.extend_from_slice(&[HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
        }
        *used += bytes;
    });
}

/// The client's trace goes on, the request is a span of its own: (for the log `trace-span-parent`, `traceparent`).
pub fn traced(traceparent: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    point!("traced");
    let mut sent = b"00-".to_vec();
    let parts = traceparent.and_then(context_of);
    match parts {
        Some((trace, ..)) => sent.extend_from_slice(trace),
        None => random(&mut sent, 16),
    }
    sent.push(b'-');
    random(&mut sent, 8);
    let mut told = sent[3..].to_vec();
    told.push(b'-');
    sent.push(b'-');
    match parts {
        Some((_, parent, flags)) => {
            told.extend_from_slice(parent);
            sent.extend_from_slice(flags);
        }
        None => sent.extend_from_slice(b"01"),
    }
    (told, sent)
}

type Context<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn context_of(traceparent: &[u8]) -> Option<Context<'_>> {
    let mut parts = traceparent.split(|&byte| byte == b'-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let flags = parts.next()?.get(..2)?;
    let is_hex = |part: &[u8], length: usize| part.len() == length && part.iter().all(u8::is_ascii_hexdigit);
    let is_something = |part: &[u8]| part.iter().any(|&byte| byte != b'0');
    let is_sound = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    (is_sound && is_something(trace) && is_something(parent)).then(|| (trace, parent, flags))
}

/// The path as the client sent it, with the members of the query that are kept.
pub fn place_of(lists: &Lists, out: &mut Vec<u8>, path: &[u8]) {
    let (place, query) = match path.iter().position(|&byte| byte == b'?') {
        Some(at) => (&path[..at], &path[at + 1..path.len().min(at + 1 + QUERY_BYTES)]),
        None => (path, &b""[..]),
    };
    safe(out, &place[..place.len().min(PATH_BYTES)]);
    let mut mark = b'?';
    for part in query.split(|&byte| byte == b'&') {
        if let Some(at) = part.iter().position(|&byte| byte == b'=') {
            if lists.asked_in_query.contains(&part[..at]) {
                out.push(mark);
                worded(out, &part[..at], &part[at + 1..], WORD_BYTES);
                mark = b'&';
            }
        }
    }
}

/// The words that are required and not said. reduced: what is kept of the body, where it was looked at.
pub fn missing<'a>(lists: &Lists, required: &'a [Vec<u8>], who: &[u8], reduced: Option<&[u8]>) -> Vec<&'a [u8]> {
    let headers: Vec<(&[u8], &[u8])> = who
        .split(|&byte| byte == b'|')
        .filter_map(|entry| entry.iter().position(|&byte| byte == b'=').map(|at| (&entry[..at], &entry[at + 1..])))
        .collect();
    let is_said = |word: &[u8]| {
        let by_header = lists.says.iter().filter(|says| says.word == word).any(|says| {
            headers.iter().any(|(name, value)| *name == says.header && !value.is_empty() && contains(value, &says.part))
        });
        by_header || (word == b"user" && reduced.map_or(false, says_user))
    };
    required.iter().map(|word| &word[..]).filter(|word| !is_said(word)).collect()
}

fn says_user(reduced: &[u8]) -> bool {
    const MEMBER: &[u8] = b"'user':'";
    find(reduced, MEMBER).map_or(false, |at| reduced.get(at + MEMBER.len()).map_or(false, |&byte| byte != b'\''))
}

// bodies

/// The body of a request, as it comes.
pub enum Body {
    Json(Box<Reader>),
    Form(Form),
}

#[derive(Default)]
pub struct Form {
    tail: Vec<u8>,
    out: Vec<u8>,
    fields: Vec<Vec<u8>>,
}

impl Body {
    pub fn new(lists: &Arc<Lists>, kind: &[u8]) -> Body {
        if contains(kind, b"multipart/form-data") {
            return Body::Form(Form::default());
        }
        Body::Json(Box::new(Reader::new(lists, true, false)))
    }

    pub fn feed(&mut self, lists: &Lists, piece: &[u8]) {
        if let Body::Json(reader) = self {
            if piece.starts_with(b"--") && !reader.is_open() && !reader.has_begun() {
                *self = Body::Form(Form::default());
            }
        }
        match self {
            Body::Json(reader) => drop(reader.read(piece, 0)),
            Body::Form(form) => form.feed(lists, piece),
        }
    }

    /// What is kept of it.
    pub fn members(&mut self, out: &mut Vec<u8>) {
        match self {
            Body::Json(reader) if reader.is_open() => reader.unfinished(out),
            Body::Json(reader) => reader.whole(out),
            Body::Form(form) => {
                out.push(b'{');
                out.extend_from_slice(&form.out);
                out.push(b'}');
            }
        }
    }

    /// Whether it is JSON, whole and sound.
    pub fn is_sound(&self) -> bool {
        matches!(self, Body::Json(reader) if !reader.is_open() && !reader.is_spoilt())
    }
}

const FORM_TAIL: usize = 1100;
const FORM_LOOK: usize = 1024;

impl Form {
    /// The short fields of a multipart form, of which a piece has come.
    fn feed(&mut self, lists: &Lists, piece: &[u8]) {
        const NAME: &[u8] = b" name=\"";
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(piece);
        let mut at = 0;
        while let Some(found) = find(&text[at..], NAME) {
            at += found + NAME.len();
            if let Some((name, value)) = field_of(&text[at..text.len().min(at + FORM_LOOK)]) {
                self.field(lists, name, value);
            }
        }
        self.tail = text.split_off(text.len().saturating_sub(FORM_TAIL));
    }

    fn field(&mut self, lists: &Lists, name: &[u8], value: &[u8]) {
        let kind = match lists.asked.get(name) {
            Some(&kind) => kind,
            None => return,
        };
        let is_known = self.fields.iter().any(|field| field == name);
        if is_known || value.len() > FORM_VALUE_BYTES || self.fields.len() >= FORM_FIELDS {
            return;
        }
        if !self.fields.is_empty() {
            self.out.push(b',');
        }
        self.fields.push(name.to_vec());
        self.out.push(b'\'');
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b"':");
        let is_number = !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.');
        let is_kept = kind == Kind::Word || (kind == Kind::Number && is_number);
        match value {
            b"true" | b"false" => self.out.extend_from_slice(value),
            b"" => self.out.extend_from_slice(b"''"),
            _ if !is_kept => self.out.extend_from_slice(b"'*'"),
            _ => {
                self.out.push(b'\'');
                safe(&mut self.out, value);
                self.out.push(b'\'');
            }
        }
    }
}

/// `model"<headers>CRLF CRLF value CRLF`: (name, value).
fn field_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let quote = text.iter().position(|&byte| byte == b'"')?;
    let is_name = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if quote == 0 || !text[..quote].iter().all(is_name) {
        return None;
    }
    let mut at = quote + 1;
    let mut is_first = true;
    loop {
        let end = at + text[at..].iter().position(|&byte| byte == b'\n')?;
        let line = text[at..end].strip_suffix(b"\r").unwrap_or(&text[at..end]);
        at = end + 1;
        if is_first && !line.is_empty() {
            return None; // a file, which has more to say on this line
        }
        if line.is_empty() && !is_first {
            break;
        }
        is_first = false;
    }
    let end = at + text[at..].iter().position(|&byte| byte == b'\n')?;
    Some((&text[..quote], text[at..end].strip_suffix(b"\r").unwrap_or(&text[at..end])))
}

/// The member of that name at the top of a JSON object.
fn member_of<'a>(body: &'a [u8], name: &[u8]) -> Option<Member<'a>> {
    let mut before = body.iter().position(|&byte| byte == b'{')?;
    loop {
        let found = member(body, before)?;
        if found.name == name {
            return Some(found);
        }
        if body[found.next] != b',' {
            return None;
        }
        before = found.next;
    }
}

const INCLUDE: &[u8] = b"\"include_usage\":true";

/// A body that asks for the usage of its stream; None where it is none, or asks already. reduced: what is kept of it.
pub fn with_usage(body: &[u8], reduced: &[u8]) -> Option<Vec<u8>> {
    if !contains(reduced, b"'stream':true") {
        return None;
    }
    if !contains(reduced, b"'stream_options'") {
        let at = body.iter().position(|&byte| byte == b'{')? + 1;
        return Some([&body[..at], b"\"stream_options\":{", INCLUDE, b"},", &body[at..]].concat());
    }
    let range = member_of(body, b"stream_options")?.value;
    let told = trimmed(&body[range.clone()]);
    let options = if told == b"null" { [b"{", INCLUDE, b"}"].concat() } else { included(told)? };
    Some([&body[..range.start], &options, &body[range.end..]].concat())
}

/// Options of a stream that ask for its usage; None where they do, or are none.
fn included(options: &[u8]) -> Option<Vec<u8>> {
    let inner = options.strip_prefix(b"{")?;
    let at = match find(options, b"\"include_usage\"") {
        Some(at) => at,
        None => {
            let comma: &[u8] = if trimmed(inner) == b"}" { b"" } else { b"," };
            return Some([b"{", INCLUDE, comma, inner].concat());
        }
    };
    let found = member(options, options[..at].iter().rposition(|&byte| byte == b'{' || byte == b',')?)?;
    let value = trimmed(&options[found.value.clone()]);
    if value == b"true" {
        return None;
    }
    let end = found.value.start + value.len();
    Some([&options[..at], INCLUDE, &options[end..]].concat())
}

/// A body that asks for another model. model: as JSON.
pub fn with_model(body: &[u8], model: &[u8]) -> Vec<u8> {
    if let Some(found) = member_of(body, b"model") {
        let value = trimmed(&body[found.value.clone()]);
        let end = found.value.start + value.len();
        return [&body[..found.value.start], model, &body[end..]].concat();
    }
    let at = match filled(body, 0) {
        Some(at) if body[at] == b'{' => at + 1,
        _ => return body.to_vec(),
    };
    let is_empty = filled(body, at).map_or(false, |next| body[next] == b'}');
    let comma: &[u8] = if is_empty { b"" } else { b"," };
    [&body[..at], b"\"model\":", model, comma, &body[at..]].concat()
}

/// The model of a request, as it was reduced.
pub fn model_of(reduced: &[u8]) -> &[u8] {
    const MEMBER: &[u8] = b"'model':'";
    let from = match find(reduced, MEMBER) {
        Some(at) => at + MEMBER.len(),
        None => return b"",
    };
    let length = reduced[from..].iter().position(|&byte| byte == b'\'').unwrap_or(0);
    &reduced[from..from + length]
}
