-- Hiding that a stream was counted: the answer as the provider would have sent it to somebody who did not ask.
--
-- In: pieces of server-sent events. Out: the same without the chunk that brings the usage (its `choices` is empty) and
-- without the member `"usage": null` of all others. A line is held back until it has ended; what is held when the
-- answer ends is let go.
-- Gives: hider, hidden, rest, value_end.

local function hider()
  return {held = "", dropping = false, fields = "", was = "", done = false}
end

-- The end of the JSON value that begins at i; nil where it does not end.
local function value_end(s, i, j)
  local depth = 0
  while i <= j do
    local code = byte(s, i)
    if code == 34 then
      i = i + 1
      while i <= j and byte(s, i) ~= 34 do i = i + (byte(s, i) == 92 and 2 or 1) end
      if i > j then return nil end
      if depth == 0 then return i end
    elseif code == 123 or code == 91 then
      depth = depth + 1
    elseif code == 125 or code == 93 then
      depth = depth - 1
      if depth == 0 then return i end
      if depth < 0 then return i - 1 end
    elseif depth == 0 and code == 44 then
      return i - 1
    end
    i = i + 1
  end
  return nil
end

-- Of the object in a line: where the member `usage` is (from its comma on) if it is null; whether it is the chunk that
-- brings the usage.
local function usage_in(s)
  local i = find(s, "{", 1, true)
  if not i then return end
  local j, null_from, null_to, empty, counted = #s, nil, nil, false, false
  local before = i
  while true do
    local from = find(s, "[^%s]", i + 1)
    if not from or byte(s, from) ~= 34 then return end
    local name_end = find(s, '"', from + 1, true)
    local start = name_end and find(s, "[^%s:]", name_end + 1)
    local stop = start and value_end(s, start, j)
    if not stop then return end
    local name = sub(s, from + 1, name_end - 1)
    if name == "choices" then
      empty = find(s, "^%[%s*%]", start) ~= nil
    elseif name == "usage" then
      if find(s, "^null%s*$", start) or match(sub(s, start, stop), "^null%s*$") then
        null_from, null_to = before, stop
      else
        counted = true
      end
    end
    i = find(s, "[^%s]", stop + 1)
    if not i then return end
    if byte(s, i) ~= 44 then break end
    if null_from == before and byte(s, before) == 123 then -- the first member goes: its comma, too
      null_from, null_to = before + 1, i
    end
    before = i
  end
  return null_from, null_to, empty and counted
end

-- A line without its end: what the client may see of it; nil where it is the chunk that nobody asked for.
local function visible(text)
  if sub(text, 1, 5) ~= "data:" or not find(text, '"usage"', 1, true) then return text end
  local from, to, is_usage = usage_in(text)
  if is_usage then return nil end
  if from then return sub(text, 1, from - 1) .. sub(text, to + 1) end
  return text
end

local FIELD = {["event:"] = true, ["id:"] = true, ["retry:"] = true}

local function hidden_line(H, text, ending, out)
  if text == "" then
    if H.dropping then
      H.dropping = false
      return
    end
    out[#out + 1] = H.fields .. ending
    H.fields = ""
    return
  end
  H.dropping = false
  if FIELD[match(text, "^%a+:") or ""] then
    H.fields = H.fields .. text .. ending
    return
  end
  local seen = visible(text)
  if seen then
    out[#out + 1] = H.fields .. seen .. ending
  else
    H.dropping = true
  end
  H.fields = ""
end

-- What the client may see now of a piece.
local function hidden(H, s)
  if H.held == "" and not H.dropping and H.fields == "" and sub(s, -2) == "\n\n" and not find(s, '"usage"', 1, true) then
    return s
  end
  s = H.held .. s
  local out, i, j = {}, 1, #s
  while i <= j do
    local newline = find(s, "[\r\n]", i)
    if not newline or (newline == j and byte(s, j) == 13) then break end
    local last = (byte(s, newline) == 13 and byte(s, newline + 1) == 10) and newline + 1 or newline
    hidden_line(H, sub(s, i, newline - 1), sub(s, newline, last), out)
    i = last + 1
  end
  H.held = sub(s, i)
  if #H.held + #H.fields > HELD_BYTES then
    out[#out + 1] = H.fields .. H.held
    H.held, H.fields = "", ""
  end
  return concat(out)
end

-- What is left when the answer has ended.
local function rest(H)
  local text = match(H.held, "^[^\r]*")
  local left = text == "" and "" or visible(text)
  if not left then return "" end
  return H.fields .. left .. sub(H.held, #text + 1)
end
