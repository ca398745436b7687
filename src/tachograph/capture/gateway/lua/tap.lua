-- Envoy's two entries: each is guarded, so that whatever fails here the bytes go on as they came.

local NONE = {}
local CHANGES = INCLUDE_USAGE or ARM_MODEL ~= "" or #REQUIRED > 0

-- What the headers of a request say: kept, who: for the log; strip: what is taken off; others by name.
local function heard(headers)
  local said = {kept = "", who = "", strip = false, path = "", method = "", length = false, kind = "", encoding = false,
    encodings = false, traceparent = false, baggage = false, upgrade = false, id = false, again = false}
  for name, value in pairs(headers) do
    local plain = PLAIN_HEADERS[name]
    if plain then said[plain] = value end
    if ASKED_HEADERS[name] then
      said.kept = said.kept .. "|" .. worded(name, value, WORD_BYTES)
    elseif plain == "again" or attributes(name) then
      said.strip = said.strip or {}
      said.strip[name] = value
      if not plain then said.who = said.who .. "|" .. worded(name, value, ATTRIBUTION_BYTES) end
    end
  end
  return said
end

local function cleaned(headers, said)
  for name in pairs(said.strip or NONE) do headers:remove(name) end
  if said.encodings then headers:remove("accept-encoding") end
  if said.baggage then
    local ours, others = parted(said.baggage)
    if ours ~= "" then
      said.who = said.who .. "|" .. worded("baggage", ours, BAGGAGE_BYTES)
      if others == "" then headers:remove("baggage") else headers:replace("baggage", others) end
    end
  end
end

local function metadata_of(handle)
  return handle:streamInfo():dynamicMetadata()
end

-- The headers of a request as its caller sent them, once they are cleaned.
local function as_sent(handle, said)
  local all = {}
  for name, value in pairs(handle:headers()) do all[name] = value end
  for name, value in pairs(said.strip or NONE) do all[name] = value end
  all["accept-encoding"] = said.encodings or nil
  all.baggage = said.baggage or nil
  all.traceparent = said.traceparent or nil
  return all
end

local function changed(handle, said, original, reduced)
  local body = original
  if ARM_MODEL ~= "" then body = with_model(body, ARM_MODEL) end
  if INCLUDE_USAGE and not said.again then
    local counted = with_usage(body, reduced)
    if counted then
      local key = match(said.path, "^[^?]*") .. "|" .. (match(reduced, "'model':'([^']*)'") or "")
      if not REFUSED[key] then
        body = counted
        local id = said.id or random(16)
        if AGAIN_CLUSTER ~= "" then remember(id, as_sent(handle, said), original) end
        metadata_of(handle):set("tachograph.asked", "k", id .. "|" .. key)
      end
    end
  end
  return body
end

local function note(handle, said, reduced)
  local metadata = metadata_of(handle)
  metadata:set("tachograph", "q", said.asked .. reduced .. said.kept)
  return metadata
end

local function read_buffered(handle, said)
  local buffer = handle:body()
  if not buffer then return "{}" end
  local length = buffer:length()
  local s = length > 0 and buffer:getBytes(0, length) or ""
  local R, F = body_reader(said.kind, true)
  R, F = body_piece(R, F, s)
  if F then form(F, s) else reduce(R, s, 1, #s) end
  local reduced = members(R, F)
  if CHANGES and not F and not is_open(R) and not R.spoilt then
    local body = changed(handle, said, s, reduced)
    if body ~= s then
      buffer:setBytes(body)
      handle:headers():replace("content-length", tostring(#body)) -- anew: those of before the body came are dead
      if ARM_MODEL ~= "" then
        R = body_reader("", true)
        reduce(R, body, 1, #body)
        reduced = members(R, nil)
      end
    end
  end
  return reduced
end

local function read_streamed(handle, said)
  local R, F = body_reader(said.kind, false)
  local first, before = true, ""
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then
      local s = chunk:getBytes(0, length)
      if first then
        R, F = body_piece(R, F, s)
        first = false
      end
      if F then form(F, s) else reduce(R, s, 1, length) end
      local now = members(R, F)
      if now ~= before then
        note(handle, said, now)
        before = now
      end
    end
  end
end

-- Beside what is said of each request: who asks, which arm it is.
local function noted_more(handle, said)
  local metadata = (said.who ~= "" or ARM ~= "") and metadata_of(handle)
  if said.who ~= "" then metadata:set("tachograph", "a", sub(said.who, 2)) end
  if ARM ~= "" then metadata:set("tachograph", "v", EXPERIMENT .. "|" .. ARM) end
end

local function is_refused(handle, said, reduced)
  local words = #REQUIRED > 0 and missing(said.who, reduced) or REQUIRED
  if #words > 0 then refuse(handle, words) end
  return #words > 0
end

local function asked(handle)
  local headers = handle:headers()
  local said = heard(headers)
  cleaned(headers, said)
  local trace, span, parent, flags = traced(said.traceparent)
  headers:replace("traceparent", "00-" .. trace .. "-" .. span .. "-" .. flags)
  said.asked = trace .. "-" .. span .. "-" .. parent .. "|" .. place_of(said.path) .. "|"
  noted_more(handle, said)
  local length = tonumber(said.length or "")
  if said.method == "GET" or said.method == "HEAD" or said.upgrade or said.encoding then
    note(handle, said, "")
    return is_refused(handle, said, nil)
  end
  -- What is small is looked at in one piece: until it is whole, nobody is asked anything.
  if ARM_MODEL ~= "" or (length and length <= (CHANGES and ASK_BYTES or BUFFERED_BYTES)) then
    local reduced = read_buffered(handle, said)
    note(handle, said, reduced)
    return is_refused(handle, said, reduced)
  end
  note(handle, said, "")
  if not is_refused(handle, said, nil) then read_streamed(handle, said) end
end

-- answers

-- Of each header of an answer that is kept the last value and what the log says of it: most say the same again.
local ANSWERED, ANSWERED_WORDS, KEPT = {}, {}, {}

-- (what is kept, content type, status, encoding, whether its length is known)
local function answer_headers(headers)
  local count, kind, status, encoding, sized = 0, "", "", nil, false
  for name, value in pairs(headers) do
    if ANSWERED_HEADERS[name] then
      count = count + 1
      if #value > HEADER_BYTES then value = sub(value, 1, HEADER_BYTES) end
      if ANSWERED[name] ~= value then
        ANSWERED[name], ANSWERED_WORDS[name] = value, worded(name, value, HEADER_BYTES)
      end
      KEPT[count] = ANSWERED_WORDS[name]
    end
    if name == ":status" then
      status = value
    elseif name == "content-type" then
      kind = value
    elseif name == "content-encoding" then
      encoding = value
    elseif name == "content-length" then
      sized = true
    end
  end
  return concat(KEPT, "|", 1, count), lower(kind), tonumber(status) or 0, encoding, sized
end

local OPAQUE = {"^audio/", "^image/", "^video/"}

local function is_opaque(kind, status)
  if status == 101 then return true end
  if status >= 400 then return false end
  return find(kind, OPAQUE[1]) or find(kind, OPAQUE[2]) or find(kind, OPAQUE[3])
end

-- An answer that refuses what we asked for: asked again as the caller wrote it, so that he never sees our error.
local function asked_again(handle, T, id, key)
  local request = recalled(id)
  local buffer = handle:body()
  local length = buffer and buffer:length() or 0
  local s = length > 0 and buffer:getBytes(0, length) or ""
  T.now = clock()
  fed(T, s)
  T.metadata = metadata_of(handle)
  local about_us = length <= REFUSAL_BYTES
    and (find(s, "stream_options", 1, true) or find(s, "include_usage", 1, true))
  save(T, begun_event(T))
  if not about_us then return end
  if REFUSED_LEFT > 0 then
    REFUSED[key], REFUSED_LEFT = true, REFUSED_LEFT - 1
  end
  if not request then return end
  request.headers["x-tachograph-again"] = "1"
  request.headers["content-length"] = nil
  request.headers["x-request-id"] = nil
  local headers, body = handle:httpCall(AGAIN_CLUSTER, request.headers, request.body, AGAIN_MILLISECONDS)
  local status = headers and headers[":status"]
  if not status or (status == "503" and not headers["content-type"]) then return end
  body = body or ""
  handle:body():setBytes(body) -- what was taken before the call is dead
  local own = handle:headers()
  for name, value in pairs(headers) do
    if name ~= "content-length" and name ~= "transfer-encoding" and name ~= "connection" then
      own:replace(name, type(value) == "table" and value[1] or value)
    end
  end
  own:replace("content-length", tostring(#body))
  metadata_of(handle):set("tachograph", "g", "1")
end

local function piece(handle, T, H, chunk)
  local length = chunk:length()
  if length == 0 then return end
  local s = chunk:getBytes(0, length)
  if H then
    local seen = hidden(H, s)
    if seen ~= s then chunk:setBytes(seen) end
    H.done = true
  end
  T.metadata = metadata_of(handle)
  T.now = clock()
  fed(T, s)
  save(T, begun_event(T))
end

local function fault(handle)
  metadata_of(handle):set("tachograph", "x", "fault")
end

-- Of a request that could not be looked at: at least where it went, so that it is a call.
local function barely(handle)
  local metadata = metadata_of(handle)
  local before = metadata:get("tachograph")
  if not (before and before.q) then
    local path = match(handle:headers():get(":path") or "", "^[^?]*")
    metadata:set("tachograph", "q", "|" .. gsub(sub(path, 1, PATH_BYTES), "|", "%%7C") .. "||")
  end
  metadata:set("tachograph", "x", "fault")
end

-- After a failure: what was held back, with the piece.
local function released(chunk, H)
  local length = chunk:length()
  local s = length > 0 and chunk:getBytes(0, length) or ""
  chunk:setBytes(H.done and s .. H.fields .. H.held or H.was .. s)
  H.held, H.fields = "", ""
end

-- The pieces of an answer. What fails is not tried again: the rest goes on as it comes.
local function pieces(handle, T, H)
  local last
  for chunk in handle:bodyChunks() do
    last = chunk
    if H then H.was, H.done = H.fields .. H.held, false end
    local ok, why = pcall(piece, handle, T, H, chunk)
    if not ok then
      if H then pcall(released, chunk, H) end
      if T.headers then metadata_of(handle):set("tachograph", "h", T.headers) end
      error(why, 0)
    end
  end
  if H and (H.held ~= "" or H.fields ~= "") and last then
    local left = rest(H)
    local length = last:length()
    if left ~= "" then last:setBytes((length > 0 and last:getBytes(0, length) or "") .. left) end
  end
end

local function answered(handle)
  local kept_headers, kind, status, encoding, sized = answer_headers(handle:headers())
  local unread = is_opaque(kind, status) or (encoding and encoding ~= "identity")
  -- A whole answer that is no refusal is not what we asked for: what waits for it is soon forgotten.
  local streams = find(kind, "event-stream", 1, true)
  local ours = INCLUDE_USAGE and not (sized and status == 200 and not streams)
  local metadata = (ours or unread or not sized) and metadata_of(handle)
  local own = ours and metadata:get("tachograph.asked") or nil
  local id, key = nil, nil
  if own and own.k then id, key = match(own.k, "^([^|]*)|(.*)$") end
  local refused = id and (status == 400 or status == 422)
  -- Where the length is known the body comes with the headers, and one note does for both.
  if metadata and (unread or refused or not sized) then metadata:set("tachograph", "h", kept_headers) end
  if unread then return end
  local T = tap(kind)
  T.headers = sized and not refused and kept_headers
  if refused then return asked_again(handle, T, id, key) end
  if id then recalled(id) end
  local H = id and status == 200 and streams and hider() or nil
  pieces(handle, T, H)
  if T.headers and T.now == 0 then metadata_of(handle):set("tachograph", "h", T.headers) end
  idle(T)
end

-- What mostly calls Envoy is not worth compiling: each call leaves the compiled code, and coming back costs more.
for _, calling in ipairs({heard, cleaned, asked, changed, read_buffered, note, noted_more, is_refused, metadata_of,
  answer_headers, answered, pieces, piece, attributes, worded, traced, place_of, append, noted, set, save}) do
  jit.off(calling)
end

function envoy_on_request(handle)
  if not pcall(asked, handle) and not pcall(barely, handle) then pcall(fault, handle) end
end

function envoy_on_response(handle)
  if not pcall(answered, handle) then pcall(fault, handle) end
end
