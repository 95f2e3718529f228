/// A script, and the name under which Redis keeps it.
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

/// What Redis does as a whole. All of them get the names of the wake times and of the open threads of a partition, and
/// then those of the threads.
pub(super) struct Scripts {
    pub(super) load: Script,
    pub(super) write: Script,
    pub(super) lease: Script,
    pub(super) forget: Script,
}

/// Versions are compared as texts: numbers of Lua do not hold them.
const SWAP: &str = "
    local written = {}
    for i = 3, #KEYS do
        local at = (i - 3) * 6
        local member, expected, version = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
        local wake, open, record = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
        local kept = redis.call('HGET', KEYS[i], 'version') or '0'
        if kept == version then
            -- Our own write, repeated by who did not hear the answer.
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

/// Of those that were seen to be due, the ones that nobody has taken or written meanwhile.
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
