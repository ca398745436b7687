//! What Envoy offers for one exchange, as safe functions.
//!
//! In: Envoy's pointer, good for as long as the hook that it was given to runs. Out: headers, bytes, what is told.

use crate::abi;
use crate::abi::{Buffer, Bytes, Headers, Pair};
use crate::limits::AGAIN_MILLISECONDS;
use crate::lists::{Variant, WATCHING};
use crate::shared::Header;

const NAMESPACE: &[u8] = b"tachograph";
const KEY: &[u8] = b"m";
const PIECES: usize = 16; // as many as Envoy's buffer mostly has

/// Microseconds since 1970.
#[cfg(not(double))]
pub fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

#[cfg(double)]
pub use crate::double::now_us;

pub struct Exchange {
    envoy: abi::Envoy,
}

impl Exchange {
    /// # Safety
    /// `envoy` must be what a hook was given, and the exchange must not outlive the hook.
    pub unsafe fn new(envoy: abi::Envoy) -> Exchange {
        Exchange { envoy }
    }

    /// What the route wants.
    pub fn variant(&self) -> &Variant {
        // SAFETY: Envoy gives back what `per_route_config_new` made, and keeps it as long as the exchange.
        let told = unsafe {
            (abi::envoy_dynamic_module_callback_get_most_specific_route_config(self.envoy) as *const Variant).as_ref()
        };
        told.unwrap_or(&WATCHING)
    }

    /// Their bytes are Envoy's: they are looked at before anything is changed.
    pub fn headers(&self, which: Headers) -> Vec<(&[u8], &[u8])> {
        let count = unsafe { abi::envoy_dynamic_module_callback_http_get_headers_size(self.envoy, which) };
        let mut found: Vec<Pair> = vec![Pair { key: Buffer::NOTHING, value: Buffer::NOTHING }; count];
        // SAFETY: there is room for as many as there are.
        let is_known =
            unsafe { abi::envoy_dynamic_module_callback_http_get_headers(self.envoy, which, found.as_mut_ptr()) };
        if !is_known {
            return Vec::new();
        }
        found.iter().map(|pair| unsafe { (pair.key.bytes(), pair.value.bytes()) }).collect()
    }

    pub fn set_header(&self, which: Headers, name: &[u8], value: &[u8]) {
        let (key, value) = (Buffer::of(name), Buffer::of(value));
        unsafe { abi::envoy_dynamic_module_callback_http_set_header(self.envoy, which, key, value) };
    }

    pub fn remove_header(&self, which: Headers, name: &[u8]) {
        let key = Buffer::of(name);
        unsafe { abi::envoy_dynamic_module_callback_http_set_header(self.envoy, which, key, Buffer::NOTHING) };
    }

    pub fn has_bytes(&self, which: Bytes) -> bool {
        unsafe { abi::envoy_dynamic_module_callback_http_get_body_size(self.envoy, which) > 0 }
    }

    pub fn each_piece(&self, which: Bytes, mut read: impl FnMut(&[u8])) {
        let count = unsafe { abi::envoy_dynamic_module_callback_http_get_body_chunks_size(self.envoy, which) };
        let mut few = [Buffer::NOTHING; PIECES];
        let mut many = Vec::new();
        let found: &mut [Buffer] = if count <= PIECES {
            &mut few[..count]
        } else {
            many.resize(count, Buffer::NOTHING);
            &mut many
        };
        // SAFETY: there is room for as many as there are, and nothing is changed before all are read.
        if unsafe { abi::envoy_dynamic_module_callback_http_get_body_chunks(self.envoy, which, found.as_mut_ptr()) } {
            for piece in found.iter().filter(|piece| piece.length > 0) {
                read(unsafe { piece.bytes() });
            }
        }
    }

    pub fn bytes(&self, which: Bytes) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.each_piece(which, |piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// The first of two bodies that is there, to be added to.
    pub fn open(&self, received: Bytes, buffered: Bytes) -> Bytes {
        // SAFETY: nothing is added; Envoy says whether it is there.
        let is_there =
            unsafe { abi::envoy_dynamic_module_callback_http_append_body(self.envoy, received, Buffer::of(b"")) };
        if is_there {
            received
        } else {
            buffered
        }
    }

    pub fn replace(&self, which: Bytes, bytes: &[u8]) {
        let count = unsafe { abi::envoy_dynamic_module_callback_http_get_body_size(self.envoy, which) };
        if count > 0 {
            unsafe { abi::envoy_dynamic_module_callback_http_drain_body(self.envoy, which, count) };
        }
        if !bytes.is_empty() {
            self.append(which, bytes);
        }
    }

    pub fn append(&self, which: Bytes, bytes: &[u8]) {
        unsafe { abi::envoy_dynamic_module_callback_http_append_body(self.envoy, which, Buffer::of(bytes)) };
    }

    pub fn respond(&self, status: u32, body: &[u8], details: &[u8]) {
        let headers = [Pair::of(b"content-type", b"application/json")];
        let (body, details) = (Buffer::of(body), Buffer::of(details));
        unsafe {
            abi::envoy_dynamic_module_callback_http_send_response(
                self.envoy,
                status,
                headers.as_ptr(),
                1,
                body,
                details,
            )
        };
    }

    /// Send a request; whether it is under way.
    pub fn ask(&self, cluster: &[u8], headers: &[Header], body: &[u8]) -> bool {
        let pairs: Vec<Pair> = headers.iter().map(|(name, value)| Pair::of(name, value)).collect();
        let mut id = 0;
        let begun = unsafe {
            abi::envoy_dynamic_module_callback_http_filter_http_callout(
                self.envoy,
                &mut id,
                Buffer::of(cluster),
                pairs.as_ptr(),
                pairs.len(),
                Buffer::of(body),
                AGAIN_MILLISECONDS,
            )
        };
        begun == abi::CALLOUT_SUCCESS
    }

    pub fn go_on_answering(&self) {
        unsafe { abi::envoy_dynamic_module_callback_http_filter_continue_encoding(self.envoy) };
    }

    /// One text for the access log: a struct would cost more to write than all that was read.
    pub fn tell(&self, told: &[u8]) {
        let (namespace, key) = (Buffer::of(NAMESPACE), Buffer::of(KEY));
        let value = Buffer::of(told);
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_dynamic_metadata_string(self.envoy, namespace, key, value)
        };
    }
}
