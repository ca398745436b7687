-- What is known of one answer while it comes.
--
-- In: a content type in lower case. Out: `T`: what was kept of its events (see `keeping`), how far its framing has been
-- read.
-- What it must never know: how bytes are framed.

-- What is known of an answer is used again when it has ended: making it anew would cost more than filling it.
local IDLE, IDLES = {}, 0

-- What is known of one answer. known .. cuts: what `keeping` keeps; line .. bare: of server-sent events; buffer, lost: of
-- frames; scalars, queue: of JSON.
local function tap(kind)
  local T
  if IDLES > 0 then
    T = IDLE[IDLES]
    IDLES = IDLES - 1
  else
    T = {
      metadata = false, headers = false, known = {}, texts = {}, events = 0, bytes = 0, stamps = 0, last = 0, now = 0,
      newest = 0, run = 0, segment = 0, sequence = {}, unsaved = false, pending = "", cuts = false, replaced = false,
      kind = "", framing = false, head = "", marked = false, R = reducer(NAMES, TOP), frames = {}, frame_count = 0,
      line = false, begun = "", name = "", data = 0, held = "", blank = false, fresh = false, after_cr = false,
      bare = false, buffer = "", lost = false, scalars = 0, queue = false, queue_bytes = 0,
    }
  end
  T.kind = kind
  return T
end

-- An answer has ended. One that never ends is left to the collector of garbage.
local function idle(T)
  if IDLES >= IDLE_ANSWERS or T.events > IDLE_EVENTS then return end
  for number = 1, T.events do T.known[T.texts[number]], T.texts[number] = nil, nil end
  T.sequence[T.segment] = nil
  T.metadata, T.headers, T.events, T.bytes, T.stamps, T.last, T.now = false, false, 0, 0, 0, 0, 0
  T.newest, T.run, T.segment, T.unsaved, T.pending, T.cuts, T.replaced = 0, 0, 0, false, "", false, false
  T.framing, T.head, T.marked, T.frame_count = false, "", false, 0
  T.line, T.begun, T.name, T.data, T.held, T.blank, T.fresh = false, "", "", 0, "", false, false
  T.after_cr, T.bare, T.buffer, T.lost, T.scalars, T.queue, T.queue_bytes = false, false, "", false, 0, false, 0
  for index = 1, #T.frames do T.frames[index] = nil end
  fresh(T.R)
  IDLES = IDLES + 1
  IDLE[IDLES] = T
end

local function event(T, text)
  noted(T, number_of(T, text))
end

-- Numbers are given anew past the bounds: then no event is known at a glance.
local function frames_hold(T)
  return not (T.cuts and T.cuts.events)
end
