//! The Lua scripts of the Redis store.

/// A script and its hash, by which Redis caches it.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// The scripts, each of which is atomic. Their keys are a partition's sorted sets of wake times and of open threads, then the
/// hashes of the threads; `lease` gets the wake times only.
pub(super) struct Scripts {
    pub(super) load: Script,
    pub(super) write: Script,
    pub(super) lease: Script,
    pub(super) forget: Script,
}

/// Compares versions as text, because Lua's numbers cannot hold them exactly.
const SWAP: &str = "
    local written = {}
    for i = 3, #KEYS do
        local at = (i - 3) * 6
        local member, expected, version = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
        local wake, open, record = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
        local kept = redis.call('HGET', KEYS[i], 'version') or '0'
        if kept == version then
            -- Our own write, repeated after its response was lost.
            written[i - 2] = 1
        elseif kept ~= expected or (record == '' and kept == '0') then
            written[i - 2] = 0
        else
            if record == '' then
                redis.call('DEL', KEYS[i])
            else
                redis.call('HSET', KEYS[i], 'version', version, 'record', record)
            end
            if record == '' or wake == '' then
                redis.call('ZREM', KEYS[1], member)
            else
                redis.call('ZADD', KEYS[1], wake, member)
            end
            if open == '1' then
                redis.call('ZADD', KEYS[2], 0, member)
            else
                redis.call('ZREM', KEYS[2], member)
            end
            written[i - 2] = 1
        end
    end
    return written";

const LOAD: &str = "
    local found = {}
    for i = 3, #KEYS do
        found[i - 2] = redis.call('HMGET', KEYS[i], 'version', 'record')
    end
    return found";

/// Leases the threads that nobody has leased or written since they were read: their wake times are unchanged.
const LEASE: &str = "
    local taken = {}
    for i = 2, #ARGV, 2 do
        local wake = redis.call('ZSCORE', KEYS[1], ARGV[i])
        if wake and tonumber(wake) == tonumber(ARGV[i + 1]) then
            redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i])
            taken[i / 2] = 1
        else
            taken[i / 2] = 0
        end
    end
    return taken";

const FORGET: &str = "
    for i = 3, #KEYS do
        redis.call('DEL', KEYS[i])
        redis.call('ZREM', KEYS[1], ARGV[i - 2])
        redis.call('ZREM', KEYS[2], ARGV[i - 2])
    end";

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            load: Script::new(LOAD),
            write: Script::new(SWAP),
            lease: Script::new(LEASE),
            forget: Script::new(FORGET),
        }
    }
}
