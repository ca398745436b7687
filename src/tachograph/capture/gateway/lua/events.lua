-- Server-sent events in pieces of any size -> reduced events.
--
-- In: bytes. Out: the text of each event, told with the moment of the piece that ended it: "d<name>|<JSON>"; e: of the
-- field `error`; j: of a bare line of JSON. Line ends are CRLF, LF or CR, also cut in two.
-- What it must never know: what an event means.
-- Gives: lines, unfinished_event.

local function done(data)
  return match(data, "^%s*%[DONE%]%s*$") ~= nil
end

-- The text of the data so far.
local function spoken(T, text)
  return "d" .. T.name .. "|" .. text
end

local function dispatched(T)
  local number
  if T.data == 2 then
    number = number_of(T, spoken(T, "[DONE]"))
    noted(T, number)
  elseif T.data == 1 then
    local R = T.R
    if is_open(R) then
      number = number_of(T, spoken(T, "?"))
      noted(T, number)
    elseif R.n > 0 or R.spoilt then
      number = number_of(T, spoken(T, whole(R)))
      noted(T, number)
    end
    if R.cut then
      R.cut = false
      cut(T, "event")
    end
  end
  if T.data ~= 0 then cleared(T.R) end
  T.data, T.name = 0, ""
  return number
end

local function data_begins(T, s, i, j)
  local R = T.R
  if T.data == 1 and not is_open(R) and R.n > 0 then
    local code = byte(s, i)
    if code == 123 or code == 91 then
      local name = T.name
      dispatched(T) -- the blank line between two events was forgotten
    end
  elseif T.data == 2 then
    dispatched(T)
  end
end

-- A piece of the text of a line of data, i is the first byte of the value.
local function data(T, s, i, j, ended)
  if T.blank and i <= j then
    T.blank = false
    if byte(s, i) == 32 then i = i + 1 end
  end
  if T.held ~= "" then
    s = T.held .. sub(s, i, j)
    i, j = 1, #s
    T.held = ""
  end
  if T.fresh then
    if i > j and not ended then return end
    if byte(s, i) == 91 and j - i < 16 then -- perhaps [DONE]
      if not ended then
        T.held = sub(s, i, j)
        return
      end
      if T.data == 0 and done(sub(s, i, j)) then
        T.data, T.fresh = 2, false
        return
      end
    end
    data_begins(T, s, i, j)
    T.fresh, T.data = false, 1
  end
  reduce(T.R, s, i, j)
  if ended then reduce(T.R, "\n", 1, 1) end
end

-- A line of JSON that is no field, or the field `error`: an event by itself.
local function bare(T, s, i, j, ended)
  reduce(T.bare, s, i, j)
  if not ended then return end
  reduce(T.bare, "\n", 1, 1)
  local R = T.bare
  local open = is_open(R)
  event(T, (T.line == "error" and "e" or "j") .. T.name .. "|" .. (open and "{?" or whole(R)))
end

local function line_begins(T, s, i, j, ended)
  local colon = find(s, ":", i, true)
  if colon and colon > j then colon = nil end
  local first = match(s, "^%s*([{%[])", i)
  if first and i <= j then
    T.line, T.bare = "bare", reducer(NAMES, TOP)
    return i
  end
  if not colon and not ended and j - i < 64 then return nil end
  local field = colon and sub(s, i, colon - 1) or sub(s, i, j)
  local at = (colon or j) + 1
  if field == "data" then
    T.line, T.fresh, T.blank = "data", true, true
  elseif field == "event" then
    T.line, T.blank, T.name = "event", true, ""
  elseif field == "error" then
    T.line, T.blank, T.bare = "error", true, false
  else
    T.line = "other"
  end
  return at
end

-- A part of a line, from i to j; ended: it is the last.
local function line(T, s, i, j, ended)
  if not T.line then
    if T.begun ~= "" then
      s = T.begun .. sub(s, i, j)
      i, j, T.begun = 1, #s, ""
    end
    if i > j then
      if ended then return dispatched(T) end
      return
    end
    local at = line_begins(T, s, i, j, ended)
    if not at then
      T.begun = sub(s, i, j)
      return
    end
    i = at
  end
  local kind = T.line
  if kind == "data" then
    data(T, s, i, j, ended)
  elseif kind == "event" then
    if T.blank and i <= j then
      T.blank = false
      if byte(s, i) == 32 then i = i + 1 end
    end
    if #T.name < EVENT_NAME_BYTES then T.name = T.name .. sub(s, i, j) end
    if ended then T.name = gsub(safe(sub(T.name, 1, EVENT_NAME_BYTES)), "|", "%%7C") end
  elseif kind == "error" then
    if T.blank and i <= j then
      T.blank = false
      if byte(s, i) == 32 then i = i + 1 end
    end
    if not T.bare and i <= j then
      if byte(s, i) == 123 then T.bare = reducer(NAMES, TOP) else T.line = "other" end
    end
    if T.bare then bare(T, s, i, j, ended) end
  elseif kind == "bare" then
    bare(T, s, i, j, ended)
  end
  if ended then T.line = false end
end

local function lines(T, s, i, j)
  if T.after_cr then
    T.after_cr = false
    if byte(s, i) == 10 then i = i + 1 end
  end
  local returns = find(s, "\r", i, true)
  local quick = not returns and frames_hold(T)
  while i <= j do
    local fresh = quick and not T.line and T.begun == "" and T.data == 0 and T.name == ""
    if fresh then
      local at, number = repeated(T, s, i, j)
      if at then
        noted(T, number)
        i = at
      else
        local stop = find(s, "\n\n", i, true)
        if stop then
          T.R.holes = {n = 0}
          local number, start = nil, i
          while i <= stop + 1 do
            local newline = find(s, "\n", i, true)
            number = line(T, s, i, newline - 1, true)
            i = newline + 1
          end
          local holes = T.R.holes
          T.R.holes = false
          if number and frames_hold(T) then framed(T, s, start, i - 1, number, holes) end
        else
          quick = false
        end
      end
    else
      local newline = returns and find(s, "[\r\n]", i) or find(s, "\n", i, true)
      if not newline then
        line(T, s, i, j, false)
        return
      end
      line(T, s, i, newline - 1, true)
      i = newline + 1
      if byte(s, newline) == 13 then
        if i > j then T.after_cr = true elseif byte(s, i) == 10 then i = i + 1 end
      end
      quick = quick and not returns
    end
  end
end

-- What has come of an event that has not ended.
local function unfinished_event(T)
  local text = ""
  if T.data == 2 then
    text = spoken(T, "[DONE]")
  elseif T.data == 1 then
    local R = T.R
    local open = is_open(R)
    if open then text = spoken(T, "?") elseif R.n > 0 or R.spoilt then text = spoken(T, whole(R)) end
  elseif T.held ~= "" then
    text = spoken(T, done(T.held) and "[DONE]" or "?")
  end
  if T.bare and (T.line == "bare" or T.line == "error") then
    local R = T.bare
    local open = is_open(R)
    text = text .. (text ~= "" and "~" or "") .. (T.line == "error" and "e" or "j") .. T.name .. "|"
      .. (open and "{?" or whole(R))
  end
  return text
end
