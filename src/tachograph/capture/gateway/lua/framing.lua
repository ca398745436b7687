-- Bodies in pieces of any size -> reduced events.
--
-- In: a content type, bytes as they came. Out: events in the framing that the first bytes show; of JSON each value, of an
-- outermost list each element.
-- What it must never know: what an event means.
-- Gives: fed, begun_event.

local SSE_FIELDS = {"data", "event", "id", "retry"}

local function value_ended(T)
  local R = T.R
  event(T, whole(R))
  if R.cut then
    R.cut = false
    cut(T, "event")
  end
end

-- Whether a text at the top is a container or a part of one: of other values a body may hold as many as words.
local CONTAINERS = {[123] = true, [91] = true, [93] = true, [44] = true}

-- Elements that have come within the first line: nobody can tell them from a document yet.
local function queued(T)
  for index = 1, #T.queue do event(T, T.queue[index]) end
  T.queue, T.queue_bytes = false, EVENT_BYTES
end

local function values(T, s, i, j)
  local R = T.R
  local first = T.scalars == 0 and R.n == 0 and R.base.due == FIRST and i == 1 and byte(s, 1) == 123
  if first then
    if repeated_document(R, s) then return end
    R.holes = {n = 0, captures = true}
  end
  while i <= j do
    i = reduce(R, s, i, j)
    if R.newline and T.queue then queued(T) end
    if R.lex == 0 and R.skip == 0 and (R.n > 0 or R.spoilt) then
      local L = R.level
      if L.depth == 1 and not L.object and L.due == AFTER and R.n > 0 then
        if not R.newline and T.queue_bytes < EVENT_BYTES then
          T.queue = T.queue or {}
          T.queue[#T.queue + 1] = whole(R)
          T.queue_bytes = T.queue_bytes + R.size
        else
          if T.queue then queued(T) end
          value_ended(T) -- an element of a list
        end
        R.n, R.size, R.spoilt = 0, 0, false
      elseif L.depth == 0 and (i <= j or byte(s, j) == 10) then
        T.scalars = (R.n > 0 and CONTAINERS[byte(R.out[1])]) and 0 or T.scalars + 1
        if T.queue then queued(T) end
        if T.scalars <= TEXTS then value_ended(T) end
        cleared(R)
        first = false
      end
    end
  end
  if first and not is_open(R) and not R.spoilt and not R.cut then documented(R, s, R.holes) end
  R.holes = false
end

-- bodies

local function chosen(T, head, is_whole)
  local first, kind = byte(head, 1), T.kind
  if first == 123 or first == 91 then return "json" end
  if first == 0 or find(kind, "vnd.amazon.eventstream", 1, true) then return "frames" end
  if find(kind, "event-stream", 1, true) or byte(head, 1) == 58 then return "events" end
  for index = 1, #SSE_FIELDS do
    local field = SSE_FIELDS[index] .. ":"
    if sub(head, 1, #field) == field then return "events" end
    if #head < #field and sub(field, 1, #head) == head and not is_whole then return nil end
  end
  if first == 34 or first == 45 or first == 116 or first == 102 or first == 110 or (first >= 48 and first <= 57) then
    return "json"
  end
  return "nothing"
end

local FRAMINGS = {json = values, events = lines, frames = frames}

local function started(T, s)
  if T.head ~= "" then s = T.head .. s end
  local from = find(s, "[^ \t\r\n]")
  if from and byte(s, from) == 239 and not T.marked then
    if #s - from < 2 then
      T.head = s
      return
    end
    if sub(s, from, from + 2) == "\239\187\191" then
      T.marked = true
      from = find(s, "[^ \t\r\n]", from + 3)
      if not from then
        T.head = ""
        return
      end
    end
  end
  if not from then
    T.head = ""
    return
  end
  if from > 1 then s = sub(s, from) end
  local framing = chosen(T, s, false)
  if not framing then
    T.head = s
    return
  end
  T.head, T.framing = "", framing
  T.R.stops = framing == "json"
  return s
end

-- A piece of the body.
local function fed(T, s)
  if not T.framing then
    s = started(T, s)
    if not s then return end
  end
  local read = FRAMINGS[T.framing]
  if read then read(T, s, 1, #s) end
end

-- What has begun and not ended, for the log.
local function begun_event(T)
  local framing = T.framing
  if framing == "events" then
    local text = unfinished_event(T)
    return (text == "" and T.events == 0) and "." or text
  end
  if framing == "json" then
    local text, spoilt = unfinished(T.R), T.R.spoilt
    if not T.queue and not spoilt then return text end
    return (T.queue and concat(T.queue) or "") .. text .. (not spoilt and "" or MARKS[spoilt])
  end
  if framing == "frames" then return (T.buffer ~= "" and not T.lost) and "!?" or "" end
  return (framing or T.head ~= "") and "?" or ""
end
