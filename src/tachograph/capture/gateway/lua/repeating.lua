-- Events and documents that repeat an earlier one but for their texts: known by what surrounds these, not read again.
--
-- In: bytes, and where the reading of an event found places that may vary. Out: frames. An event of a stream is known by
-- all of its bytes but the texts that nobody keeps; a document by its names alone: ids, models and counts are taken from
-- between them.
-- Gives: repeated, framed, documented, repeated_document.

-- Whether a text or a number that may vary begins at i: where it ends; nil where nobody can say so at a glance.
local function varies(s, i, j, is_text)
  local from = i
  if not is_text then
    while i <= j do
      local code = byte(s, i)
      if code < 48 or code > 57 then break end
      i = i + 1
    end
    return i > from and not (byte(s, from) == 48 and i > from + 1) and i or nil
  end
  while i <= j do
    local code = byte(s, i)
    if code == 34 then return i > from and i or nil end
    if code == 92 then
      code = byte(s, i + 1)
      if code == 117 or not ESCAPES[code] then return nil end
      i = i + 2
    elseif code < 32 then
      return nil
    else
      i = i + 1
    end
  end
  return nil
end

-- Whether the event that begins at i is one that has been: where it ends, and its number.
local function repeated(T, s, i, j)
  local frames = T.frames
  for index = 1, T.frame_count do
    local frame = frames[index]
    local at = i
    local pieces, kinds = frame.pieces, frame.kinds
    local count = #pieces
    for part = 1, count do
      local piece = pieces[part]
      if sub(s, at, at + #piece - 1) ~= piece then
        at = nil
        break
      end
      at = at + #piece
      if part < count then
        at = varies(s, at, j, kinds[part])
        if not at then break end
      end
    end
    if at and at - 1 <= j then return at, frame.number end
  end
  return nil
end

-- Remember what surrounds the texts of the event from i to j.
local function framed(T, s, i, j, number, holes)
  if not holes or holes.n == 0 or j - i > FRAME_BYTES then return end
  local pieces, kinds, at = {}, {}, i
  for index = 1, holes.n do
    local each = holes[index]
    pieces[index], kinds[index] = sub(s, at, each.from - 1), each.is_text
    at = each.to + 1
  end
  pieces[holes.n + 1] = sub(s, at, j)
  local frames = T.frames
  for index = FRAMES, 2, -1 do frames[index] = frames[index - 1] end
  frames[1] = {pieces = pieces, kinds = kinds, number = number}
  if T.frame_count < FRAMES then T.frame_count = T.frame_count + 1 end
end


-- documents

local DOCUMENTS, DOCUMENT_COUNT = {}, 0

-- Remember a document: what surrounds its values, and what is made of them.
local function documented(R, s, holes)
  if not holes or holes.n == 0 or #s > DOCUMENT_BYTES then return end
  local pieces, out, at = {}, {}, 1
  for index = 1, holes.n do
    pieces[index] = sub(s, at, holes[index].from - 1)
    at = holes[index].to + 1
  end
  pieces[holes.n + 1] = sub(s, at)
  for index = 1, R.n do out[index] = R.out[index] end
  for index = 1, holes.n do
    local each = holes[index]
    if each.kind then
      local value = each.to - each.from + 1
      each.before = each.is_text and match(each.piece, "^(.-')[^']*'$") or sub(each.piece, 1, #each.piece - value)
    end
  end
  for index = FRAMES, 2, -1 do DOCUMENTS[index] = DOCUMENTS[index - 1] end
  DOCUMENTS[1] = {pieces = pieces, holes = holes, out = out, n = R.n}
  if DOCUMENT_COUNT < FRAMES then DOCUMENT_COUNT = DOCUMENT_COUNT + 1 end
end

-- The value that begins at i, in place of the one that was there: where it ends; nil where it is of another kind.
local function filled(R, s, i, j, each)
  local stop
  if each.is_text then
    stop = text_end(R, s, i, j)
    if R.sick or R.escape == 1 or stop > j or stop == i then
      R.sick, R.escape = false, 0
      return nil
    end
  else
    stop = find(s, "[^%d.eE+-]", i) or FAR
    if stop > j or stop - i > 64 or not is_number(sub(s, i, stop - 1)) then return nil end
  end
  if each.kind then
    local text = sub(s, i, stop - 1)
    if each.is_text then
      text = remainder(R, each.kind, #text > TEXT_BYTES[each.kind] and sub(text, 1, TEXT_BYTES[each.kind]) or text)
      if each.kind == FIGURE and text == "*" then return nil end
      R.out[each.at] = each.before .. text .. "'"
    else
      R.out[each.at] = each.before .. text
    end
  end
  return stop
end

local function known_document(R, s, document)
  local pieces, holes, at, size = document.pieces, document.holes, 1, #s
  for index = 1, #pieces do
    local piece = pieces[index]
    local stop = at + #piece
    if sub(s, at, stop - 1) ~= piece then return false end
    at = stop
    if holes[index] then
      if index == 1 then
        for each = 1, document.n do R.out[each] = document.out[each] end
      end
      at = filled(R, s, at, size, holes[index])
      if not at then return false end
    end
  end
  return at == size + 1
end

-- Whether a body is a document like one that has been; it is read then.
local function repeated_document(R, s)
  for index = 1, DOCUMENT_COUNT do
    local document = DOCUMENTS[index]
    if known_document(R, s, document) then
      R.n, R.size, R.base.due, R.base.count = document.n, #s, AFTER, 1
      return true
    end
    R.moment, R.scanned = false, "" -- what was found on the way is not true from the start
  end
  return false
end
