-- A request: what is kept of it, what is taken off it, what is added.
--
-- In: Envoy's handle. Out: metadata `q` (trace, path, members of the body, headers), `a` (who is asking); a request
-- with its own span in `traceparent`, without what is meant for us, and where the route says so asking for the usage of
-- its stream or for another model.

-- So many hexadecimal digits, of a supply that is made in one go.
local random
do
  local ffi, bit = require("ffi"), require("bit")
  ffi.cdef("int getentropy(void *, size_t);")
  local bytes, hex = ffi.new("uint8_t[256]"), ffi.new("uint8_t[512]")
  local digits = ffi.new("uint8_t[16]", {byte("0123456789abcdef", 1, 16)})
  local band, rshift, supply, used = bit.band, bit.rshift, "", 0
  local function supplied()
    if ffi.C.getentropy(bytes, 256) ~= 0 then error("no entropy") end
    for at = 0, 255 do
      hex[2 * at], hex[2 * at + 1] = digits[rshift(bytes[at], 4)], digits[band(bytes[at], 15)]
    end
    supply, used = ffi.string(hex, 512), 0
  end
  random = function(digits)
    if #supply - used < digits then supplied() end
    used = used + digits
    return sub(supply, used - digits + 1, used)
  end
end

-- A header as the log may hold it: cut, with | and what is no plain text spelled out.
local function worded(name, value, bytes)
  if #value > bytes then value = sub(value, 1, bytes) end
  return name .. "=" .. safe(value)
end

local function attributes(name)
  if not ATTRIBUTION_STARTS[sub(name, 1, 3)] then return false end
  if ATTRIBUTION[name] then return true end
  for index = 1, #ATTRIBUTION_PREFIXES do
    local prefix = ATTRIBUTION_PREFIXES[index]
    if sub(name, 1, #prefix) == prefix then return true end
  end
  return false
end

-- Our members of a `baggage` header, and those of others.
local function parted(baggage)
  local ours, others = {}, {}
  for member in string.gmatch(baggage, "[^,]+") do
    local list = find(member, "^%s*tachograph%.") and ours or others
    list[#list + 1] = match(member, "^%s*(.-)%s*$")
  end
  return concat(ours, ","), concat(others, ",")
end

-- (trace, span, the client's span, flags): the client's trace goes on, the request is a span of its own.
local function traced(traceparent)
  local trace, parent, flags
  if traceparent then
    trace, parent, flags = match(traceparent, "^%x%x%-(%x+)%-(%x+)%-(%x%x)")
    if not trace or #trace ~= 32 or #parent ~= 16 or find(trace, "^0+$") or find(parent, "^0+$") then trace = nil end
  end
  if not trace then trace, parent, flags = random(32), "", "01" end
  return trace, random(16), parent, flags
end

local PLACES, PLACES_LEFT = {}, 256 -- of paths without a query, as the log may hold them

-- The path as the client sent it, with the members of the query that are kept.
local function place_of(path)
  if PLACES[path] then return PLACES[path] end
  local at = find(path, "?", 1, true)
  if not at then
    local place = #path <= PATH_BYTES and safe(path) or safe(sub(path, 1, PATH_BYTES))
    if PLACES_LEFT > 0 and #path <= WORD_BYTES then PLACES[path], PLACES_LEFT = place, PLACES_LEFT - 1 end
    return place
  end
  local found = {}
  for name, value in string.gmatch(sub(path, at + 1, at + 2048), "([^&=]+)=([^&]*)") do
    if ASKED_IN_QUERY[name] then found[#found + 1] = name .. "=" .. safe(sub(value, 1, WORD_BYTES)) end
  end
  path = safe(sub(path, 1, at - 1 < PATH_BYTES and at - 1 or PATH_BYTES))
  return #found > 0 and path .. "?" .. concat(found, "&") or path
end

-- The words that are required and not said. who: the headers that say who is asking; reduced: what is kept of the body.
local function missing(who, reduced)
  local said = "|" .. who
  local words = {}
  for index = 1, #REQUIRED do
    local word = REQUIRED[index]
    local found = reduced and word == "user" and find(reduced, "'user':'[^']")
    for _, pattern in ipairs(SOURCES[word]) do
      found = found or find(said, pattern)
    end
    if not found then words[#words + 1] = word end
  end
  return words
end

local function refuse(handle, words)
  local list = concat(words, ", ")
  local how = "send x-tachograph-" .. concat(words, ", x-tachograph-"):gsub("_", "-")
  handle:respond({[":status"] = "400", ["content-type"] = "application/json"},
    '{"error":{"message":"attribution is missing: ' .. list .. ": " .. how
    .. '","type":"invalid_request_error","code":"attribution_required"}}')
end

-- forms

local FORM_VALUE = '^([%w_%-]+)"\r?\n(.-)\r?\n\r?\n([^\r\n]*)\r?\n'
local FORM_PLAIN = '^([%w_%-]+)"\r?\n\r?\n([^\r\n]*)\r?\n'

local function form_field(F, name, value)
  local kind = ASKED_NAMES[name]
  if not kind or F.fields[name] or #value > 256 or F.count >= 16 then return end
  F.fields[name], F.count = true, F.count + 1
  local text = "'" .. safe(value) .. "'"
  if value == "true" or value == "false" then
    text = value
  elseif kind == NUMBER and not find(value, "^[%d.]+$") or kind ~= NUMBER and kind ~= WORD then
    text = value == "" and "''" or "'*'"
  end
  F.out[#F.out + 1] = "'" .. name .. "':" .. text
end

-- The short fields of a multipart form, of which a piece has come.
local function form(F, s)
  s = F.tail .. s
  local at = 1
  while true do
    local _, stop = find(s, ' name="', at, true)
    if not stop then break end
    local rest = sub(s, stop + 1, stop + 1024)
    local name, value = match(rest, FORM_PLAIN)
    if not name then
      local headers
      name, headers, value = match(rest, FORM_VALUE)
    end
    if name then form_field(F, name, value) end
    at = stop + 1
  end
  F.tail = sub(s, -1100)
end

local function form_reader()
  return {tail = "", out = {}, fields = {}, count = 0}
end

-- bodies

local ASKED -- for bodies that are read at once

-- once: the body comes in one piece, so that nobody else reads meanwhile.
local function body_reader(kind, once)
  if find(kind, "multipart/form-data", 1, true) then return nil, form_reader() end
  if once and not ASKED then ASKED = reducer(ASKED_NAMES, PLAIN) end
  local R = once and fresh(ASKED) or reducer(ASKED_NAMES, PLAIN)
  R.loose = true -- of a damaged request the provider will tell
  return R, nil
end

local function body_piece(R, F, s)
  if R and R.n == 0 and R.lex == 0 and sub(s, 1, 2) == "--" then return nil, form_reader() end
  return R, F
end

local function members(R, F)
  if F then return "{" .. concat(F.out, ",") .. "}" end
  if not is_open(R) then return whole(R) end
  return unfinished(R)
end

-- Where the value of a member at the top of a JSON object is.
local function member_of(s, name)
  local i = find(s, "{", 1, true)
  while i do
    local from = find(s, "[^%s]", i + 1)
    if not from or byte(s, from) ~= 34 then return nil end
    local name_end = find(s, '"', from + 1, true)
    local start = name_end and find(s, "[^%s:]", name_end + 1)
    local stop = start and value_end(s, start, #s)
    if not stop then return nil end
    if sub(s, from + 1, name_end - 1) == name then return start, stop end
    i = find(s, "[^%s]", stop + 1)
    if not i or byte(s, i) ~= 44 then return nil end
  end
end

local INCLUDE = '"include_usage":true'

-- A body that asks for the usage of its stream; nil where it is none, or asks already. reduced: what is kept of it.
local function with_usage(s, reduced)
  if not find(reduced, "'stream':true", 1, true) then return nil end
  if not find(reduced, "'stream_options'", 1, true) then
    local at = find(s, "{", 1, true)
    return sub(s, 1, at) .. '"stream_options":{' .. INCLUDE .. "}," .. sub(s, at + 1)
  end
  local from, to = member_of(s, "stream_options")
  if not from then return nil end
  local options = match(sub(s, from, to), "^(.-)%s*$")
  if options == "null" then
    options = "{" .. INCLUDE .. "}"
  elseif byte(options, 1) ~= 123 or find(options, '"include_usage"%s*:%s*true') then
    return nil
  elseif find(options, '"include_usage"', 1, true) then
    options = gsub(options, '"include_usage"%s*:%s*[%w]+', INCLUDE)
  else
    options = "{" .. INCLUDE .. (find(options, "^{%s*}$") and "" or ",") .. sub(options, 2)
  end
  return sub(s, 1, from - 1) .. options .. sub(s, to + 1)
end

-- A body that asks for another model.
local function with_model(s, model)
  local from, to = member_of(s, "model")
  if from then return sub(s, 1, from - 1) .. '"' .. model .. '"' .. sub(s, to + 1) end
  local at = find(s, "^%s*{") and find(s, "{", 1, true)
  if not at then return s end
  return sub(s, 1, at) .. '"model":"' .. model .. '"' .. (find(s, "^%s*}", at + 1) and "" or ",") .. sub(s, at + 1)
end

-- asking again

-- Who has refused to count, by path and model; and requests that may have to be sent again as their callers wrote them.
local REFUSED, REFUSED_LEFT = {}, 1024
local WAITING, WAITING_ORDER, WAITING_FIRST, WAITING_LAST, WAITING_BYTES = {}, {}, 1, 0, 0

local function forget_first()
  local id = WAITING_ORDER[WAITING_FIRST]
  WAITING_ORDER[WAITING_FIRST] = nil
  WAITING_FIRST = WAITING_FIRST + 1
  local request = WAITING[id]
  if request then
    WAITING_BYTES = WAITING_BYTES - #request.body
    WAITING[id] = nil
  end
end

local function remember(id, headers, body)
  WAITING_LAST = WAITING_LAST + 1
  WAITING_ORDER[WAITING_LAST] = id
  WAITING[id] = {headers = headers, body = body}
  WAITING_BYTES = WAITING_BYTES + #body
  while WAITING_LAST - WAITING_FIRST >= WAITING_REQUESTS or WAITING_BYTES > WAITING_BYTES_MAX do forget_first() end
end

local function recalled(id)
  local request = WAITING[id]
  if request then
    WAITING_BYTES = WAITING_BYTES - #request.body
    WAITING[id] = nil
  end
  return request
end
