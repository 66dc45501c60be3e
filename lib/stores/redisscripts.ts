/**
 * What a RedisStore does on the server: each script is one atomic step. KEYS[1] is the store's name; all other keys begin with it and
 * so are on the same node of a cluster. There is no key of that name itself, but there is KEYS[2], the totals: while a cluster moves
 * them, neither of its nodes has all, and both say TRYAGAIN.
 *
 *     <name>:record:<id>   hash: v(ersion), b(ytes), i(nfo), e(xpires at), p(ages: hashes of 32 bytes each), w(rite: its nonce),
 *                          o(wner who wrote it)
 *     <name>:ids           sorted set of ids, by their bytes
 *     <name>:expiry        sorted set of ids, by when they expire
 *     <name>:claim:<id>    the owner, while he says that he lives
 *     <name>:users         hash: how many records name a page
 *     <name>:page:<hash>   hash: the pieces of a page, from 0
 *     <name>:sizes         hash: bytes of each page that is stored
 *     <name>:uses          sorted set of stored pages, by their last use
 *     <name>:totals        hash: bytes, evictions, clock (of uses), deleted (the highest version that was deleted)
 *     <name>:writing:<…>   as :page:, while it is being written
 *
 * A server whose memory is full refuses what takes more of it, but only as the first write of a script: what gives some back comes first.
 */
import { createHash } from 'node:crypto';

/** A script and the name that the server knows it by. */
export interface Script {
  text: string;
  sha1: string;
}

const SHARED = `
local name = KEYS[1]
local ids, expiry, users = name .. ':ids', name .. ':expiry', name .. ':users'
local sizes, uses, totals = name .. ':sizes', name .. ':uses', name .. ':totals'
local function record(id) return name .. ':record:' .. id end
local function claim(id) return name .. ':claim:' .. id end
local function page(hash) return name .. ':page:' .. hash end
local function writing(nonce) return name .. ':writing:' .. nonce end
local function total(field) return tonumber(redis.call('HGET', totals, field) or 0) end

-- With the figures of the whole store behind it.
local function answer(...)
  return { { redis.call('HLEN', sizes), total('bytes'), total('evictions') }, ... }
end

local function has_another(id, owner)
  local claimed = redis.call('GET', claim(id))
  return claimed and claimed ~= owner
end

local function drop(hash)
  local bytes = redis.call('HGET', sizes, hash)
  if not bytes then return 0 end
  redis.call('UNLINK', page(hash))
  redis.call('HDEL', sizes, hash)
  redis.call('ZREM', uses, hash)
  redis.call('HINCRBY', totals, 'bytes', 0 - tonumber(bytes))
  return 1
end

-- A hint, for which there may be no memory.
local function touch(hash)
  local clock = redis.pcall('HINCRBY', totals, 'clock', 1)
  if type(clock) == 'number' then redis.pcall('ZADD', uses, clock, hash) end
end

local function make_room(bytes, budget)
  while total('bytes') + bytes > tonumber(budget) do
    local oldest = redis.call('ZPOPMIN', uses)[1]
    if not oldest then break end
    drop(oldest)
    redis.call('HINCRBY', totals, 'evictions', 1)
  end
end

-- Whether it is there: a server that is short of memory may have taken it by itself.
local function is_stored(hash)
  if redis.call('HEXISTS', sizes, hash) == 0 then return false end
  if redis.call('EXISTS', page(hash)) == 1 then return true end
  drop(hash)
  return false
end

-- A record names \`after\` where it named \`before\`. Most of both is the same from the beginning: a conversation grows.
local function name_pages(before, after)
  local from = 1
  while from <= #before and before:sub(from, from + 31) == after:sub(from, from + 31) do from = from + 32 end
  for at = from, #after, 32 do redis.call('HINCRBY', users, after:sub(at, at + 31), 1) end
  for at = from, #before, 32 do
    local hash = before:sub(at, at + 31)
    if redis.call('HINCRBY', users, hash, -1) <= 0 then
      redis.call('HDEL', users, hash)
      drop(hash)
    end
  end
end
`;

/** What follows the name in the key of a page's pieces. */
export function pageKey(hash: Buffer): Buffer {
  return Buffer.concat([Buffer.from(':page:'), hash]);
}

function script(body: string): Script {
  const text = SHARED + body;
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

/** id → version, bytes, expiry */
export const GET_RECORD: Script = script(`
return redis.call('HMGET', record(ARGV[1]), 'v', 'b', 'e')
`);

/**
 * id, bytes, expected version, info, pages, expiry or '', owner, nonce → what happened, version
 */
export const PUT_RECORD: Script = script(`
local id, bytes, expected, info, pages, expires, owner, nonce = unpack(ARGV)
local key = record(id)
local version, write, before = unpack(redis.call('HMGET', key, 'v', 'w', 'p'))
version = tonumber(version or 0)
if write == nonce then return answer('done', version) end
if has_another(id, owner) then return answer('claimed', version) end
if version ~= tonumber(expected) then return answer('conflict', version) end
if version == 0 then version = total('deleted') end
version = version + 1
redis.call('HSET', key, 'v', version, 'b', bytes, 'i', info, 'w', nonce, 'o', owner)
redis.call('ZADD', ids, 0, id)
if expires == '' then
  redis.call('HDEL', key, 'e')
  redis.call('ZREM', expiry, id)
else
  redis.call('HSET', key, 'e', expires)
  redis.call('ZADD', expiry, expires, id)
end
name_pages(before or '', pages)
redis.call('HSET', key, 'p', pages)
return answer('done', version)
`);

/** id, expected version or '', owner → what happened, version */
export const DELETE_RECORD: Script = script(`
local id, expected, owner = unpack(ARGV)
local key = record(id)
local version, pages = unpack(redis.call('HMGET', key, 'v', 'p'))
if not version then return answer('none', 0) end
version = tonumber(version)
if expected ~= '' then
  if has_another(id, owner) then return answer('claimed', version) end
  if version ~= tonumber(expected) then return answer('conflict', version) end
end
redis.call('UNLINK', key)
redis.call('HSET', totals, 'deleted', math.max(total('deleted'), version))
redis.call('ZREM', ids, id)
redis.call('ZREM', expiry, id)
name_pages(pages or '', '')
return answer('done', version)
`);

/** least id, greatest id (as ZRANGEBYLEX has them), how many → id, version, info, expiry of each */
export const LIST_RECORDS: Script = script(`
local listed = {}
for _, id in ipairs(redis.call('ZRANGEBYLEX', ids, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  listed[#listed + 1] = { id, unpack(redis.call('HMGET', record(id), 'v', 'i', 'e')) }
end
return listed
`);

/** now, how many → ids */
export const LIST_EXPIRED: Script = script(`
return redis.call('ZRANGEBYSCORE', expiry, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
`);

/** id, owner, '1' to take it over, milliseconds → whether it is the owner's */
export const CLAIM: Script = script(`
local id, owner, take_over, lease = unpack(ARGV)
if take_over ~= '1' and has_another(id, owner) then return 0 end
redis.call('SET', claim(id), owner, 'PX', lease)
return 1
`);

/** owner, ids… */
export const RELEASE: Script = script(`
for at = 2, #ARGV do
  if redis.call('GET', claim(ARGV[at])) == ARGV[1] then redis.call('DEL', claim(ARGV[at])) end
end
return 0
`);

/**
 * owner, milliseconds, ids… → those of them that the owner has lost. A claim that has lapsed is his again, unless somebody else has
 * written the record since.
 */
export const BEAT: Script = script(`
local owner, lease, lost = ARGV[1], ARGV[2], {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local claimed = redis.call('GET', claim(id))
  if claimed == owner then
    redis.call('PEXPIRE', claim(id), lease)
  elseif not claimed and (redis.call('HGET', record(id), 'o') or owner) == owner then
    redis.call('SET', claim(id), owner, 'PX', lease)
  else
    lost[#lost + 1] = id
  end
end
return lost
`);

/** hash → false, or pieces, bytes of all */
export const GET_PAGE: Script = script(`
if not is_stored(ARGV[1]) then return false end
touch(ARGV[1])
return { redis.call('HLEN', page(ARGV[1])), tonumber(redis.call('HGET', sizes, ARGV[1])) }
`);

/** hash, bytes of all, budget → 'stored', 'refused', or 'wanted': then there is room for it */
export const WANTS_PAGE: Script = script(`
local hash, bytes, budget = unpack(ARGV)
if is_stored(hash) then
  touch(hash)
  return answer('stored')
end
if redis.call('HEXISTS', users, hash) == 0 or tonumber(bytes) > tonumber(budget) then return answer('refused') end
make_room(tonumber(bytes), budget)
return answer('wanted')
`);

/** nonce, number, bytes, milliseconds until it is given up */
export const PUT_PIECE: Script = script(`
redis.call('HSET', writing(ARGV[1]), ARGV[2], ARGV[3])
return redis.call('PEXPIRE', writing(ARGV[1]), ARGV[4])
`);

/** hash, nonce, pieces, bytes of all, budget → 'stored', 'refused', or 'lost' (a piece of it) */
export const ADD_PAGE: Script = script(`
local hash, nonce, pieces, bytes, budget = unpack(ARGV)
local written = writing(nonce)
local stored = is_stored(hash)
if stored or redis.call('HEXISTS', users, hash) == 0 then
  redis.call('UNLINK', written)
  return answer(stored and 'stored' or 'refused')
end
if redis.call('HLEN', written) ~= tonumber(pieces) then return answer('lost') end
redis.call('RENAME', written, page(hash))
redis.call('PERSIST', page(hash))
redis.call('HSET', sizes, hash, bytes)
redis.call('HINCRBY', totals, 'bytes', bytes)
touch(hash)
make_room(0, budget)
return answer('stored')
`);

/** hash → whether there was one */
export const DELETE_PAGE: Script = script(`
return answer(drop(ARGV[1]))
`);
