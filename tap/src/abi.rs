//! What Envoy and the module say to each other: the part of Envoy's interface for dynamic modules that is used here.
//!
//! Documented in Envoy's repository, `source/extensions/dynamic_modules/abi`. Buffers are Envoy's until a hook returns
//! or a header or a body is changed.

use std::os::raw::c_void;

/// What the module was written for. Envoy warns where its own differs.
pub const VERSION: &[u8] = b"v0.2.0\0";

pub type Envoy = *mut c_void;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    pub data: *const u8,
    pub length: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pair {
    pub key: Buffer,
    pub value: Buffer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Headers {
    Request = 0,
    Response = 2,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Bytes {
    ReceivedRequest = 0,
    BufferedRequest = 1,
    ReceivedResponse = 2,
    BufferedResponse = 3,
}

/// Of headers, bodies and trailers alike.
pub const GO_ON: i32 = 0;
/// Of a body: StopIterationAndBuffer; of headers and trailers: StopIteration.
pub const WAIT: i32 = 1;

pub const CALLOUT_SUCCESS: i32 = 0;

extern "C" {
    pub fn envoy_dynamic_module_callback_get_most_specific_route_config(envoy: Envoy) -> *const c_void;
    pub fn envoy_dynamic_module_callback_http_get_headers_size(envoy: Envoy, which: Headers) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_headers(envoy: Envoy, which: Headers, found: *mut Pair) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_header(
        envoy: Envoy,
        which: Headers,
        key: Buffer,
        value: Buffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_get_body_size(envoy: Envoy, which: Bytes) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_body_chunks_size(envoy: Envoy, which: Bytes) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_body_chunks(envoy: Envoy, which: Bytes, found: *mut Buffer) -> bool;
    pub fn envoy_dynamic_module_callback_http_append_body(envoy: Envoy, which: Bytes, data: Buffer) -> bool;
    pub fn envoy_dynamic_module_callback_http_drain_body(envoy: Envoy, which: Bytes, count: usize) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
        envoy: Envoy,
        namespace: Buffer,
        key: Buffer,
        value: Buffer,
    );
    pub fn envoy_dynamic_module_callback_http_send_response(
        envoy: Envoy,
        status: u32,
        headers: *const Pair,
        count: usize,
        body: Buffer,
        details: Buffer,
    );
    pub fn envoy_dynamic_module_callback_http_filter_http_callout(
        envoy: Envoy,
        id: *mut u64,
        cluster: Buffer,
        headers: *const Pair,
        count: usize,
        body: Buffer,
        milliseconds: u64,
    ) -> i32;
    pub fn envoy_dynamic_module_callback_http_filter_continue_encoding(envoy: Envoy);
}

impl Buffer {
    pub const NOTHING: Buffer = Buffer { data: std::ptr::null(), length: 0 };

    pub fn of(bytes: &[u8]) -> Buffer {
        Buffer { data: bytes.as_ptr(), length: bytes.len() }
    }

    /// # Safety
    /// The bytes must stay where they are for as long as the slice is used.
    pub unsafe fn bytes<'a>(&self) -> &'a [u8] {
        if self.data.is_null() || self.length == 0 {
            return b"";
        }
        std::slice::from_raw_parts(self.data, self.length)
    }
}

impl Pair {
    pub fn of(key: &[u8], value: &[u8]) -> Pair {
        Pair { key: Buffer::of(key), value: Buffer::of(value) }
    }
}
