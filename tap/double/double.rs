//! A double of Envoy for tests: it has the functions that the module calls, and passes one exchange through the filter
//! as Envoy would, without a socket. Built with `--cfg double`; not part of what is shipped.
//!
//! In: an exchange as lengths and bytes, see `tests/capture/gateway/tapped.py`. Out: what either side got, what was told.

use crate::abi::{Buffer, Bytes, Envoy, Headers, Pair, CALLOUT_SUCCESS, WAIT};
use crate::hooks;
use crate::shared::Header;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::os::raw::c_void;
use std::sync::atomic::{AtomicI64, Ordering};

struct Counting;

static HELD_BYTES: AtomicI64 = AtomicI64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        System.alloc(layout)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        System.dealloc(at, layout)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static NOW_US: Cell<i64> = Cell::new(0);
    static FAILS: RefCell<(Vec<u8>, i64)> = RefCell::new((Vec::new(), 0));
}

pub fn now_us() -> i64 {
    NOW_US.with(Cell::get)
}

/// Fail here, if that is wanted, and as often as that has been passed.
pub fn point(name: &str) {
    let fails = FAILS.with(|fails| {
        let (wanted, after) = &mut *fails.borrow_mut();
        let is_here = wanted == name.as_bytes();
        *after -= i64::from(is_here);
        is_here && *after < 0
    });
    assert!(!fails, "planted");
}

/// One exchange. bodies: by `Bytes`; None where there is none now.
#[derive(Default)]
struct Stream {
    route: Option<usize>,
    request: Vec<Header>,
    response: Vec<Header>,
    bodies: [Option<Vec<u8>>; 4],
    told: Vec<u8>,
    responded: Option<Vec<u8>>,
    asked: Option<(Vec<u8>, Vec<Header>, Vec<u8>)>,
}

impl Stream {
    fn headers(&mut self, which: Headers) -> &mut Vec<Header> {
        if which == Headers::Request {
            &mut self.request
        } else {
            &mut self.response
        }
    }

    /// Pass one body, piece by piece; what goes on. `hook` is told whether a piece is the last.
    fn pass(
        &mut self,
        pieces: &[Vec<u8>],
        to: [usize; 2],
        mut hook: impl FnMut(&mut Stream, usize, bool) -> i32,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            self.bodies[to[0]] = Some(piece.clone());
            let status = hook(self, at, at + 1 == pieces.len());
            if self.responded.is_some() {
                break;
            }
            let received = self.bodies[to[0]].take().unwrap_or_default();
            if status == WAIT {
                self.bodies[to[1]].get_or_insert_with(Vec::new).extend_from_slice(&received);
            } else {
                out.extend_from_slice(&self.bodies[to[1]].take().unwrap_or_default());
                out.extend_from_slice(&received);
            }
        }
        out
    }
}

unsafe fn stream<'a>(envoy: Envoy) -> &'a mut Stream {
    &mut *envoy.cast::<Stream>()
}

// what the module calls

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_get_most_specific_route_config(envoy: Envoy) -> *const c_void {
    stream(envoy).route.unwrap_or(0) as *const c_void
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_get_headers_size(envoy: Envoy, which: Headers) -> usize {
    stream(envoy).headers(which).len()
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_get_headers(
    envoy: Envoy,
    which: Headers,
    found: *mut Pair,
) -> bool {
    for (at, (name, value)) in stream(envoy).headers(which).iter().enumerate() {
        *found.add(at) = Pair::of(name, value);
    }
    true
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_set_header(
    envoy: Envoy,
    which: Headers,
    key: Buffer,
    value: Buffer,
) -> bool {
    let (key, is_set, value) = (key.bytes().to_vec(), !value.data.is_null(), value.bytes().to_vec());
    let headers = stream(envoy).headers(which);
    headers.retain(|(name, _)| *name != key);
    if is_set {
        headers.push((key, value));
    }
    true
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_get_body_size(envoy: Envoy, which: Bytes) -> usize {
    stream(envoy).bodies[which as usize].as_ref().map_or(0, Vec::len)
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_get_body_chunks_size(envoy: Envoy, which: Bytes) -> usize {
    stream(envoy).bodies[which as usize].as_ref().map_or(0, |_| 2)
}

/// In two parts, as Envoy's buffer may have it.
#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_get_body_chunks(
    envoy: Envoy,
    which: Bytes,
    found: *mut Buffer,
) -> bool {
    match &stream(envoy).bodies[which as usize] {
        Some(bytes) => {
            let (one, other) = bytes.split_at(bytes.len() / 2);
            *found = Buffer::of(one);
            *found.add(1) = Buffer::of(other);
            true
        }
        None => false,
    }
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_append_body(envoy: Envoy, which: Bytes, data: Buffer) -> bool {
    match &mut stream(envoy).bodies[which as usize] {
        Some(bytes) => {
            bytes.extend_from_slice(data.bytes());
            true
        }
        None => false,
    }
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_drain_body(envoy: Envoy, which: Bytes, count: usize) -> bool {
    match &mut stream(envoy).bodies[which as usize] {
        Some(bytes) => {
            drop(bytes.drain(..count.min(bytes.len())));
            true
        }
        None => false,
    }
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
    envoy: Envoy,
    _namespace: Buffer,
    _key: Buffer,
    value: Buffer,
) {
    stream(envoy).told = value.bytes().to_vec();
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_send_response(
    envoy: Envoy,
    _status: u32,
    _headers: *const Pair,
    _count: usize,
    body: Buffer,
    _details: Buffer,
) {
    stream(envoy).responded = Some(body.bytes().to_vec());
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_filter_http_callout(
    envoy: Envoy,
    _id: *mut u64,
    cluster: Buffer,
    headers: *const Pair,
    count: usize,
    body: Buffer,
    _milliseconds: u64,
) -> i32 {
    let headers = std::slice::from_raw_parts(headers, count);
    let headers = headers.iter().map(|pair| (pair.key.bytes().to_vec(), pair.value.bytes().to_vec())).collect();
    stream(envoy).asked = Some((cluster.bytes().to_vec(), headers, body.bytes().to_vec()));
    CALLOUT_SUCCESS
}

#[no_mangle]
unsafe extern "C" fn envoy_dynamic_module_callback_http_filter_continue_encoding(_envoy: Envoy) {}

// what tests call

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn number(&mut self) -> u64 {
        let (number, rest) = self.0.split_at(8);
        self.0 = rest;
        number.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.number() as usize;
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }

    fn all(&mut self) -> Vec<Vec<u8>> {
        (0..self.number()).map(|_| self.bytes()).collect()
    }

    fn headers(&mut self) -> Vec<Header> {
        (0..self.number()).map(|_| (self.bytes(), self.bytes())).collect()
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_headers(out: &mut Vec<u8>, headers: &[Header]) {
    out.extend_from_slice(&(headers.len() as u64).to_le_bytes());
    for (name, value) in headers {
        put(out, name);
        put(out, value);
    }
}

#[no_mangle]
extern "C" fn envoy_double_memory() -> i64 {
    HELD_BYTES.load(Ordering::Relaxed)
}

#[no_mangle]
unsafe extern "C" fn envoy_double_fail(name: *const u8, length: usize, after: i64) {
    let name = Buffer { data: name, length }.bytes().to_vec();
    FAILS.with(|fails| *fails.borrow_mut() = (name, after));
}

#[no_mangle]
unsafe extern "C" fn envoy_double_config(data: *const u8, length: usize) -> *const c_void {
    hooks::envoy_dynamic_module_on_program_init();
    let config = Buffer { data, length };
    hooks::envoy_dynamic_module_on_http_filter_config_new(std::ptr::null_mut(), Buffer::NOTHING, config)
}

#[no_mangle]
unsafe extern "C" fn envoy_double_route(data: *const u8, length: usize) -> *const c_void {
    hooks::envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer::NOTHING, Buffer { data, length })
}

#[no_mangle]
unsafe extern "C" fn envoy_double_free(data: *mut u8, length: usize) {
    drop(Vec::from_raw_parts(data, length, length));
}

/// Run one exchange. What comes back is to be given to `envoy_double_free`.
#[no_mangle]
unsafe extern "C" fn envoy_double_run(
    config: *const c_void,
    route: *const c_void,
    data: *const u8,
    length: usize,
    out: *mut Buffer,
) {
    let mut input = Input(Buffer { data, length }.bytes());
    let mut stream = Stream { route: Some(route as usize), request: input.headers(), ..Stream::default() };
    let asked = input.all();
    let is_answered = input.number() == 1;
    stream.response = input.headers();
    let answered = input.all();
    let moments: Vec<i64> = (0..answered.len()).map(|_| input.number() as i64).collect();
    let again = (input.number() == 1).then(|| (input.headers(), input.bytes()));
    let filter = hooks::envoy_dynamic_module_on_http_filter_new(config, std::ptr::null_mut()) as *mut c_void;
    let envoy = |stream: &mut Stream| (stream as *mut Stream).cast::<c_void>();
    hooks::envoy_dynamic_module_on_http_filter_request_headers(envoy(&mut stream), filter, asked.is_empty());
    let mut sent = Vec::new();
    if stream.responded.is_none() {
        sent = stream.pass(&asked, [0, 1], |stream, _, is_last| {
            hooks::envoy_dynamic_module_on_http_filter_request_body(envoy(stream), filter, is_last)
        });
    }
    let mut got = Vec::new();
    if stream.responded.is_none() && is_answered {
        hooks::envoy_dynamic_module_on_http_filter_response_headers(envoy(&mut stream), filter, answered.is_empty());
        got = stream.pass(&answered, [2, 3], |stream, at, is_last| {
            NOW_US.with(|now| now.set(moments[at]));
            hooks::envoy_dynamic_module_on_http_filter_response_body(envoy(stream), filter, is_last)
        });
        if stream.asked.is_some() {
            second(&mut stream, filter, again.as_ref());
            got.extend_from_slice(&stream.bodies[3].take().unwrap_or_default());
        }
    }
    hooks::envoy_dynamic_module_on_http_filter_stream_complete(envoy(&mut stream), filter);
    hooks::envoy_dynamic_module_on_http_filter_destroy(filter);
    let mut told = Vec::new();
    put(&mut told, &sent);
    put(&mut told, stream.responded.as_ref().unwrap_or(&got));
    put(&mut told, &stream.told);
    put_headers(&mut told, &stream.request);
    let (cluster, headers, body) = stream.asked.take().unwrap_or_default();
    put(&mut told, &cluster);
    put_headers(&mut told, &headers);
    put(&mut told, &body);
    let mut told = told.into_boxed_slice();
    *out = Buffer { data: told.as_mut_ptr(), length: told.len() };
    std::mem::forget(told);
}

/// The second request is answered, or nobody does.
unsafe fn second(stream: &mut Stream, filter: *mut c_void, again: Option<&(Vec<Header>, Vec<u8>)>) {
    let envoy = (stream as *mut Stream).cast::<c_void>();
    let done = hooks::envoy_dynamic_module_on_http_filter_http_callout_done;
    match again {
        Some((headers, body)) => {
            let pairs: Vec<Pair> = headers.iter().map(|(name, value)| Pair::of(name, value)).collect();
            let piece = Buffer::of(body);
            done(envoy, filter, 1, CALLOUT_SUCCESS, pairs.as_ptr(), pairs.len(), &piece, 1);
        }
        None => done(envoy, filter, 1, 1, std::ptr::null(), 0, std::ptr::null(), 0),
    }
}
