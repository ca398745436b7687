//! One exchange as it passes: a request and its answer are read, what was seen is told when all is over.
//!
//! In: what Envoy's hooks say. Out: headers and bodies that go on; dynamic metadata `tachograph`, which the access log
//! prints: `q` the request (trace, path, members of the body, headers), `w` its method if that is not POST, `i` its id,
//! `a` who is asking, `v` the experiment, `h` headers of the answer, `e1`.. `s1` `p` its events (see `keeping`; `p` is
//! what has begun and not ended), `x` what was cut, `g` that the answer is of a second request.

use crate::abi::{Bytes, Headers, GO_ON, WAIT};
use crate::answer::Answer;
use crate::asking::{heard, missing, model_of, place_of, traced, with_model, with_usage, Body, Heard};
use crate::exchange::{now_us, Exchange};
use crate::hiding::Hider;
use crate::limits::{ASK_BYTES, BUFFERED_BYTES, HEADER_BYTES, PATH_BYTES, REFUSAL_BYTES};
use crate::lists::Variant;
use crate::shared::{Config, Header, Original};
use crate::text::{contains, safe, worded};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// How the body of a request is looked at. Waiting: in one piece, and until it is whole nobody is asked anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    Unread,
    Waiting,
    Passing,
}

/// How the body of an answer is. Refused: it may be about what we asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answering {
    Unread,
    Passing,
    Refused,
    Again,
}

pub struct Filter<'a> {
    config: &'a Config,
    asking: Asking,
    answering: Answering,
    asked: Vec<u8>, // trace and place
    said: Heard,
    body: Option<Body>,
    reduced: Vec<u8>,
    headers: Vec<Header>, // of a request that may be asked again
    original: Option<Original<'a>>,
    arm: Vec<u8>,
    answered: Vec<u8>,
    answer: Option<Answer>,
    hider: Option<Hider>,
    is_replaced: bool,
    has_failed: bool,
}

impl<'a> Filter<'a> {
    pub fn new(config: &'a Config) -> Filter<'a> {
        Filter {
            config,
            asking: Asking::Unread,
            answering: Answering::Unread,
            asked: Vec::new(),
            said: Heard::default(),
            body: None,
            reduced: Vec::new(),
            headers: Vec::new(),
            original: None,
            arm: Vec::new(),
            answered: Vec::new(),
            answer: None,
            hider: None,
            is_replaced: false,
            has_failed: false,
        }
    }

    // the request

    pub fn on_request_headers(&mut self, exchange: &Exchange, is_whole: bool) -> i32 {
        point!("request_headers");
        let variant = exchange.variant();
        let headers = exchange.headers(Headers::Request);
        let lists = Arc::clone(&self.config.lists);
        let mut said = heard(&lists, headers.iter().map(|&header| header));
        let (told, traceparent) = traced(said.traceparent.as_deref());
        let mut asked = told;
        asked.push(b'|');
        place_of(&lists, &mut asked, &said.path);
        self.asked = asked;
        if !variant.arm.is_empty() {
            safe(&mut self.arm, &variant.experiment);
            self.arm.push(b'|');
            safe(&mut self.arm, &variant.arm);
        }
        if variant.include_usage && !said.is_again {
            self.headers = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        }
        for name in &said.strip {
            exchange.remove_header(Headers::Request, name);
        }
        match said.baggage.as_deref() {
            Some(b"") => exchange.remove_header(Headers::Request, b"baggage"),
            Some(others) => exchange.set_header(Headers::Request, b"baggage", others),
            None => {}
        }
        exchange.set_header(Headers::Request, b"traceparent", &traceparent);
        let waits_for = if variant.changes() { ASK_BYTES } else { BUFFERED_BYTES };
        let is_small = said.length.map_or(false, |length| length <= waits_for);
        let kind = std::mem::take(&mut said.kind);
        let is_read = !said.has_no_body;
        self.said = said;
        if is_read && (!variant.model.is_empty() || is_small) {
            self.asking = Asking::Waiting;
            self.body = Some(Body::new(&lists, &kind));
            if !is_whole {
                return WAIT;
            }
            return self.asked_whole(exchange, variant);
        }
        if self.is_refused(exchange, variant, false) {
            return WAIT;
        }
        if is_read && !is_whole {
            self.asking = Asking::Passing;
            self.body = Some(Body::new(&lists, &kind));
        }
        GO_ON
    }

    pub fn on_request_body(&mut self, exchange: &Exchange, is_last: bool) -> i32 {
        if self.asking == Asking::Unread {
            return GO_ON;
        }
        point!("request_body");
        let lists = Arc::clone(&self.config.lists);
        if let Some(body) = &mut self.body {
            exchange.each_piece(Bytes::ReceivedRequest, |piece| body.feed(&lists, piece));
        }
        if self.asking == Asking::Passing {
            return GO_ON;
        }
        if !is_last {
            return WAIT;
        }
        self.asked_whole(exchange, exchange.variant())
    }

    pub fn on_request_trailers(&mut self, exchange: &Exchange) -> i32 {
        if self.asking != Asking::Waiting {
            return GO_ON;
        }
        self.asked_whole(exchange, exchange.variant())
    }

    /// The whole request is here, as far as it is looked at in one piece.
    fn asked_whole(&mut self, exchange: &Exchange, variant: &Variant) -> i32 {
        point!("asked_whole");
        self.asking = Asking::Unread;
        let is_empty = !exchange.has_bytes(Bytes::BufferedRequest) && !exchange.has_bytes(Bytes::ReceivedRequest);
        let is_sound = self.body.as_ref().map_or(false, Body::is_sound);
        self.reduce();
        if is_empty {
            self.reduced = b"{}".to_vec();
        } else if variant.changes() && is_sound {
            let body = [exchange.bytes(Bytes::BufferedRequest), exchange.bytes(Bytes::ReceivedRequest)].concat();
            let changed = self.changed(variant, &body);
            if changed != body {
                exchange.set_header(Headers::Request, b"content-length", changed.len().to_string().as_bytes());
                exchange.replace(Bytes::BufferedRequest, b"");
                exchange.replace(Bytes::ReceivedRequest, b"");
                exchange.append(exchange.open(Bytes::ReceivedRequest, Bytes::BufferedRequest), &changed);
                if !variant.model.is_empty() {
                    let mut body = Body::new(&self.config.lists, b"");
                    body.feed(&self.config.lists, &changed);
                    self.reduced.clear();
                    body.members(&mut self.reduced);
                }
            }
        }
        if self.is_refused(exchange, variant, true) {
            return WAIT;
        }
        GO_ON
    }

    fn reduce(&mut self) {
        if let Some(mut body) = self.body.take() {
            self.reduced.clear();
            body.members(&mut self.reduced);
        }
    }

    /// The body that is sent in place of one.
    fn changed(&mut self, variant: &Variant, original: &[u8]) -> Vec<u8> {
        point!("changed");
        let mut body = original.to_vec();
        if !variant.model.is_empty() {
            body = with_model(&body, &variant.model);
        }
        if !variant.include_usage || self.said.is_again {
            return body;
        }
        if let Some(counted) = with_usage(&body, &self.reduced) {
            let path = self.said.path.split(|&byte| byte == b'?').next().unwrap_or(b"");
            let key = [path, b"|", model_of(&self.reduced)].concat();
            if !self.config.has_refused(&key) {
                let headers = std::mem::take(&mut self.headers);
                self.original = Some(Original::new(self.config, key, headers, original.to_vec()));
                return counted;
            }
        }
        body
    }

    /// Refuse a request that does not say what the route requires; whether it was.
    fn is_refused(&self, exchange: &Exchange, variant: &Variant, is_whole: bool) -> bool {
        point!("is_refused");
        if variant.required.is_empty() {
            return false;
        }
        let reduced = if is_whole { Some(&self.reduced[..]) } else { None };
        let words = missing(&self.config.lists, &variant.required, &self.said.who, reduced);
        if words.is_empty() {
            return false;
        }
        let list = words.join(&b", "[..]);
        let headers = words.join(&b", x-tachograph-"[..]);
        let headers: Vec<u8> = headers.iter().map(|&byte| if byte == b'_' { b'-' } else { byte }).collect();
        let body = [
            &b"{\"error\":{\"message\":\"attribution is missing: "[..],
            &list,
            b": send x-tachograph-",
            &headers,
            b"\",\"type\":\"invalid_request_error\",\"code\":\"attribution_required\"}}",
        ]
        .concat();
        exchange.respond(400, &body, b"tachograph_attribution_required");
        true
    }

    // the answer

    pub fn on_response_headers(&mut self, exchange: &Exchange, is_whole: bool) -> i32 {
        point!("response_headers");
        let lists = Arc::clone(&self.config.lists);
        let (mut kind, mut status, mut is_packed) = (Vec::new(), 0, false);
        for (name, value) in exchange.headers(Headers::Response) {
            if lists.answered_headers.contains(name) {
                if !self.answered.is_empty() {
                    self.answered.push(b'|');
                }
                worded(&mut self.answered, name, value, HEADER_BYTES);
            }
            match name {
                b":status" => status = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0),
                b"content-type" => kind = value.to_ascii_lowercase(),
                b"content-encoding" => is_packed = value != b"identity",
                _ => {}
            }
        }
        if is_packed || is_opaque(&kind, status) {
            return GO_ON;
        }
        let is_stream = contains(&kind, b"event-stream");
        self.answer = Some(Answer::new(&lists, kind));
        self.answering = Answering::Passing;
        match &mut self.original {
            None => return GO_ON,
            Some(_) if status == 400 || status == 422 => self.answering = Answering::Refused,
            Some(_) if status == 200 && is_stream => self.hider = Some(Hider::default()),
            Some(_) => {}
        }
        if self.answering == Answering::Passing {
            self.original = None;
            return GO_ON;
        }
        if is_whole {
            return self.refusal_whole(exchange);
        }
        WAIT
    }

    pub fn on_response_body(&mut self, exchange: &Exchange, is_last: bool) -> i32 {
        if self.answering == Answering::Unread {
            return GO_ON;
        }
        point!("response_body");
        // Read before anything is changed: where that fails, what was held back goes before the piece as it came.
        if let Some(answer) = &mut self.answer {
            let now_us = now_us();
            exchange.each_piece(Bytes::ReceivedResponse, |piece| answer.feed(piece, now_us));
        }
        if let Some(hider) = &mut self.hider {
            let piece = exchange.bytes(Bytes::ReceivedResponse);
            let mut seen = hider.feed(&piece);
            if is_last {
                seen.append(&mut hider.rest());
            }
            if seen != piece {
                exchange.replace(Bytes::ReceivedResponse, &seen);
            }
        }
        match self.answering {
            Answering::Refused if is_last => self.refusal_whole(exchange),
            Answering::Refused | Answering::Again => WAIT,
            _ => GO_ON,
        }
    }

    pub fn on_response_trailers(&mut self, exchange: &Exchange) -> i32 {
        if let Some(hider) = &mut self.hider {
            let rest = hider.rest();
            if !rest.is_empty() {
                exchange.append(Bytes::BufferedResponse, &rest);
            }
        }
        if self.answering == Answering::Refused {
            return self.refusal_whole(exchange);
        }
        GO_ON
    }

    /// An answer that refuses what we asked for: asked again as the caller wrote it, so that he never sees our error.
    fn refusal_whole(&mut self, exchange: &Exchange) -> i32 {
        point!("refusal_whole");
        self.answering = Answering::Passing;
        let body = [exchange.bytes(Bytes::BufferedResponse), exchange.bytes(Bytes::ReceivedResponse)].concat();
        let is_about_us = contains(&body, b"stream_options") || contains(&body, b"include_usage");
        let mut original = match self.original.take() {
            Some(original) if is_about_us && body.len() <= REFUSAL_BYTES => original,
            _ => return GO_ON,
        };
        self.config.note_refusal(&original.key);
        let cluster = &exchange.variant().again;
        let asked = match original.taken() {
            Some(asked) if !cluster.is_empty() => asked,
            _ => return GO_ON,
        };
        let mut headers = std::mem::take(&mut original.headers);
        headers.retain(|(name, _)| name != b"content-length" && name != b"x-request-id");
        headers.push((b"x-tachograph-again".to_vec(), b"1".to_vec()));
        if !exchange.ask(cluster, &headers, &asked) {
            return GO_ON;
        }
        self.answering = Answering::Again;
        WAIT
    }

    /// The second request was answered; headers: None where nobody did.
    pub fn on_second_answer(&mut self, exchange: &Exchange, headers: Option<&[Header]>, body: &[u8]) {
        point!("second_answer");
        self.answering = Answering::Unread;
        let of = |wanted: &[u8]| {
            headers.and_then(|headers| headers.iter().find(|(name, _)| name == wanted)).map(|(_, value)| &value[..])
        };
        let is_own = of(b":status") == Some(b"503") && of(b"content-type").is_none();
        let headers = match headers {
            Some(headers) if of(b":status").is_some() && !is_own => headers,
            _ => return,
        };
        for (name, value) in headers {
            if ![&b"content-length"[..], b"transfer-encoding", b"connection"].contains(&&name[..]) {
                exchange.set_header(Headers::Response, name, value);
            }
        }
        exchange.set_header(Headers::Response, b"content-length", body.len().to_string().as_bytes());
        exchange.replace(Bytes::BufferedResponse, body);
        self.is_replaced = true;
    }

    // the end

    /// Something in here has failed: the rest goes on as it comes. held: what was held back until then.
    pub fn fail(&mut self) -> Vec<u8> {
        self.has_failed = true;
        self.asking = Asking::Unread;
        self.answering = Answering::Unread;
        self.body = None;
        self.original = None;
        self.hider.take().map_or_else(Vec::new, |hider| hider.held())
    }

    /// What is told of the exchange: `<key>=<value>`, with ^ between.
    pub fn on_complete(&mut self, exchange: &Exchange) {
        let mut told: Vec<u8> = Vec::with_capacity(1024);
        if self.body.is_some() && catch_unwind(AssertUnwindSafe(|| self.reduce())).is_err() {
            self.has_failed = true;
        }
        let question = self.question(exchange);
        tell(&mut told, "q", &question);
        if self.said.method != b"POST" {
            tell_text(&mut told, "w", &self.said.method);
        }
        tell_text(&mut told, "i", &self.said.id);
        tell(&mut told, "a", self.said.who.get(1..).unwrap_or(b""));
        tell(&mut told, "v", &self.arm);
        tell(&mut told, "h", &self.answered);
        let mut cuts: Vec<&str> = Vec::new();
        if let Some(mut answer) = self.answer.take() {
            answer.kept.count_run();
            let unfinished = catch_unwind(AssertUnwindSafe(|| answer.unfinished()));
            self.has_failed |= unfinished.is_err();
            let unfinished = unfinished.unwrap_or_default();
            if !unfinished.is_empty() {
                let since_us = answer.kept.since_us().to_string();
                tell(&mut told, "p", &[since_us.as_bytes(), b"|", &unfinished].concat());
            }
            tell(&mut told, "s1", &answer.kept.sequence);
            for (at, text) in answer.kept.texts.iter().enumerate() {
                tell(&mut told, &format!("e{}", at + 1), text);
            }
            cuts.extend(answer.kept.cuts.iter());
        }
        if self.is_replaced {
            tell(&mut told, "g", b"1");
        }
        if self.has_failed {
            cuts = vec!["fault"];
        }
        tell(&mut told, "x", cuts.join(" ").as_bytes());
        exchange.tell(&told);
    }

    fn question(&mut self, exchange: &Exchange) -> Vec<u8> {
        if !self.asked.is_empty() {
            return [&self.asked[..], b"|", &self.reduced, &self.said.kept].concat();
        }
        // Of a request that could not be looked at: at least where it went, so that it is a call.
        let headers = exchange.headers(Headers::Request);
        let path = headers.iter().find(|(name, _)| *name == b":path").map_or(&b""[..], |(_, value)| *value);
        let path = path.split(|&byte| byte == b'?').next().unwrap_or(b"");
        let mut told = b"|".to_vec();
        safe(&mut told, &path[..path.len().min(PATH_BYTES)]);
        told.extend_from_slice(b"||");
        told
    }
}

fn tell(told: &mut Vec<u8>, key: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    if !told.is_empty() {
        told.push(b'^');
    }
    told.extend_from_slice(key.as_bytes());
    told.push(b'=');
    told.extend_from_slice(value);
}

fn tell_text(told: &mut Vec<u8>, key: &str, text: &[u8]) {
    let mut value = Vec::with_capacity(text.len());
    safe(&mut value, &text[..text.len().min(HEADER_BYTES)]);
    tell(told, key, &value);
}

fn is_opaque(kind: &[u8], status: u32) -> bool {
    let is_media = [&b"audio/"[..], b"image/", b"video/"].iter().any(|start| kind.starts_with(start));
    status == 101 || (status < 400 && is_media)
}
