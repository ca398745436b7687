-- Envoy's two entries: each is guarded, so that whatever fails here the bytes go on as they came.

-- What the headers of a request say: those that are kept, those that say who is asking, and some by name.
local function heard(headers)
  local said = {kept = {}, who = {}, strip = {}, all = nil}
  local original = INCLUDE_USAGE and AGAIN_CLUSTER ~= "" and {} or nil
  for name, value in pairs(headers) do
    if original then original[name] = value end
    if ASKED_HEADERS[name] then said.kept[#said.kept + 1] = worded(name, value, WORD_BYTES) end
    local plain = PLAIN_HEADERS[name]
    if plain then
      said[plain] = value
      if plain == "again" then said.strip[#said.strip + 1] = name end
    elseif attributes(name) then
      said.who[#said.who + 1] = worded(name, value, ATTRIBUTION_BYTES)
      said.strip[#said.strip + 1] = name
    end
  end
  said.all = original
  return said
end

local function cleaned(headers, said)
  for index = 1, #said.strip do headers:remove(said.strip[index]) end
  if said.encodings then headers:remove("accept-encoding") end
  if said.baggage then
    local ours, others = parted(said.baggage)
    if ours ~= "" then
      said.who[#said.who + 1] = worded("baggage", ours, BAGGAGE_BYTES)
      if others == "" then headers:remove("baggage") else headers:replace("baggage", others) end
    end
  end
end

local function metadata_of(handle)
  return handle:streamInfo():dynamicMetadata()
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
        local id = said.id or random(4)
        if said.all then remember(id, said.all, original) end
        metadata_of(handle):set("tachograph.asked", "k", id .. "|" .. key)
      end
    end
  end
  return body
end

local function read_buffered(handle, said)
  local buffer = handle:body()
  if not buffer then return "{}" end
  local length = buffer:length()
  local s = length > 0 and buffer:getBytes(0, length) or ""
  local R, F = body_reader(said.kind or "")
  R, F = body_piece(R, F, s)
  if F then form(F, s) else reduce(R, s, 1, #s) end
  local reduced = members(R, F)
  if not F and not is_open(R) and not R.spoilt then
    local body = changed(handle, said, s, reduced)
    if body ~= s then
      buffer:setBytes(body)
      handle:headers():replace("content-length", tostring(#body)) -- those of before the body came are dead
      if ARM_MODEL ~= "" then
        R = reducer(ASKED_NAMES, PLAIN)
        reduce(R, body, 1, #body)
        reduced = members(R, nil)
      end
    end
  end
  metadata_of(handle):set("tachograph", "r", reduced)
  return reduced
end

local function read_streamed(handle, said)
  local R, F = body_reader(said.kind or "")
  local first, before = true, nil
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
        metadata_of(handle):set("tachograph", "r", now)
        before = now
      end
    end
  end
end

local function asked(handle)
  local headers = handle:headers()
  local said = heard(headers)
  cleaned(headers, said)
  local metadata = metadata_of(handle)
  local traceparent, trace = traced(said.traceparent)
  headers:replace("traceparent", traceparent)
  metadata:set("tachograph", "q", trace .. "|" .. place_of(said.path or "") .. "|" .. concat(said.kept, "|"))
  local who = concat(said.who, "|")
  if who ~= "" then metadata:set("tachograph", "a", who) end
  if ARM ~= "" then metadata:set("tachograph", "v", EXPERIMENT .. "|" .. ARM) end
  if said.method == "GET" or said.method == "HEAD" or said.upgrade or said.encoding then
    if #REQUIRED > 0 and #missing("|" .. who, nil) > 0 then refuse(handle, missing("|" .. who, nil)) end
    return
  end
  local length = tonumber(said.length or "")
  local changes = INCLUDE_USAGE or #REQUIRED > 0
  local buffered = ARM_MODEL ~= "" or (length and length <= (changes and ASK_BYTES or BUFFERED_BYTES))
  if #REQUIRED > 0 and not buffered then
    local words = missing("|" .. who, nil)
    if #words > 0 then return refuse(handle, words) end
  end
  if not buffered then return read_streamed(handle, said) end
  local reduced = read_buffered(handle, said)
  if #REQUIRED > 0 then
    local words = missing("|" .. who, reduced)
    if #words > 0 then refuse(handle, words) end
  end
end

-- answers

local function answer_headers(headers)
  local kept, kind, status, encoding = {}, "", "", nil
  for name, value in pairs(headers) do
    if ANSWERED_HEADERS[name] then kept[#kept + 1] = worded(name, value, HEADER_BYTES) end
    if name == ":status" then
      status = value
    elseif name == "content-type" then
      kind = value
    elseif name == "content-encoding" then
      encoding = value
    end
  end
  return concat(kept, "|"), kind, tonumber(status) or 0, encoding
end

local OPAQUE = {"^audio/", "^image/", "^video/"}

local function is_opaque(kind, status)
  if status == 101 then return true end
  if status >= 400 then return false end
  kind = lower(kind)
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
  T.now = clock()
  T.metadata = metadata_of(handle)
  fed(T, s)
  save(T, begun_event(T))
end

local function fault(handle)
  metadata_of(handle):set("tachograph", "x", "fault")
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
  local kept_headers, kind, status, encoding = answer_headers(handle:headers())
  local metadata = metadata_of(handle)
  metadata:set("tachograph", "h", kept_headers)
  local own = INCLUDE_USAGE and metadata:get("tachograph.asked") or nil
  local id, key = nil, nil
  if own and own.k then id, key = match(own.k, "^([^|]*)|(.*)$") end
  if is_opaque(kind, status) or (encoding and encoding ~= "identity") then return end
  local T = tap(kind)
  T.metadata = metadata
  if id and (status == 400 or status == 422) then return asked_again(handle, T, id, key) end
  if id then recalled(id) end
  local H = id and status == 200 and find(lower(kind), "event-stream", 1, true) and hider() or nil
  pieces(handle, T, H)
end

function envoy_on_request(handle)
  if not pcall(asked, handle) then pcall(fault, handle) end
end

function envoy_on_response(handle)
  if not pcall(answered, handle) then pcall(fault, handle) end
end
