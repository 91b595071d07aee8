//! Requests for every command: what finds out whether one tenant sees or changes what is another's.
//!
//! Whoever adds a command adds a line; a test fails until then. [`GIVEN`] is what one tenant has, and
//! every line of [`REQUESTS`] is one pipeline that succeeds for that tenant, unless it begins with `!`:
//! then it may be refused. No line has a word with one of [`SECRETS`] in it, so whoever else gets such
//! a word in a reply has it from the tenant's data.

/// Parts of names, values and addresses that only their tenant may see.
pub const SECRETS: [&str; 3] = ["s3cr3t", "8675309", "203.0.113.77"];

/// Where the connection of the tenant with the secrets comes from.
pub const SECRET_ADDRESS: &str = "203.0.113.77:4242";

/// What the tenant with the secrets does at first.
pub const GIVEN: &str = r#"
CLIENT SETNAME s3cr3t-client | CLIENT SETINFO lib-name s3cr3t-library
SET string s3cr3t-value | SET number 8675309 | SETRANGE long 70000 s3cr3t-end
HSET hash field s3cr3t-value s3cr3t-field 8675309 n 8675309
RPUSH list item s3cr3t-item s3cr3t-another
SADD set member s3cr3t-member
ZADD zset 1 member 8675309 s3cr3t-member
JSON.SET json $ {"name":"s3cr3t-name","n":8675309,"list":["s3cr3t-item"],"flag":true,"s3cr3t":1}
SET s3cr3t-key s3cr3t-value | HSET s3cr3t-hash s3cr3t-field s3cr3t-value
SELECT 1 | SET in-one s3cr3t-value | RPUSH s3cr3t-list s3cr3t-item | SELECT 0
"#;

/// What another tenant may have under the same names.
pub const OWN: &str = r#"
SET string mine | SET number 7 | SETRANGE long 6000 mine
HSET hash field mine | RPUSH list item | SADD set member | ZADD zset 1 member
JSON.SET json $ {"name":"mine","n":7,"list":[1],"flag":false}
SELECT 1 | SET in-one mine | SELECT 0
"#;

/// See the module.
pub const REQUESTS: &str = r#"
APPEND string x
DECR number
DECRBY number 2
GET string
GETDEL string
GETEX string PERSIST
GETRANGE string 0 -1
GETRANGE long 0 -1
GETSET string new
INCR number
INCRBY number 1
INCRBYFLOAT number 0.5
LCS string string
MGET string number hash nothing in-one
MSET string x number 1
MSETNX fresh x other y
PSETEX string 1000000 x
SET string x GET
SET string x XX
SETEX string 1000 x
SETNX fresh x
SETRANGE string 1 x
SETRANGE long 1 x | STRLEN long
STRLEN string
SUBSTR string 0 -1
BITCOUNT string
BITFIELD string INCRBY u8 0 1
BITFIELD_RO string GET u8 0
BITOP OR string string number
BITPOS string 1
GETBIT string 1
SETBIT string 1 1
HDEL hash field
HEXISTS hash field
HGET hash field
HGETALL hash
HINCRBY hash n 1
HINCRBYFLOAT hash n 1.5
HKEYS hash
HLEN hash
HMGET hash field n
HMSET hash a b
HRANDFIELD hash 5 WITHVALUES
HSCAN hash 0 COUNT 100
HSCAN hash 4611686018427387904
HSET hash field x
HSETNX hash other x
HSTRLEN hash field
HVALS hash
BLMOVE list other LEFT RIGHT 0
BLMPOP 0 1 list LEFT
BLPOP list 0
BRPOP list 0
BRPOPLPUSH list other 0
LINDEX list 1
LINSERT list BEFORE item x
LLEN list
LMOVE list other RIGHT LEFT
LMPOP 1 list RIGHT COUNT 2
LPOP list 3
LPOS list item
LPUSH list x
LPUSHX list x
LRANGE list 0 -1
LREM list 0 item
LSET list 0 x
LTRIM list 1 -1
RPOP list
RPOPLPUSH list other
RPUSH list x
RPUSHX list x
SADD set x
SCARD set
SDIFF set
SDIFFSTORE other set
SINTER set
SINTERCARD 1 set
SINTERSTORE other set
SISMEMBER set member
SMEMBERS set
SMISMEMBER set member x
SMOVE set other member
SPOP set 9
SRANDMEMBER set 9
SREM set member
SSCAN set 0
SUNION set
SUNIONSTORE set set other
BZMPOP 0 1 zset MIN
BZPOPMAX zset 0
BZPOPMIN zset 0
ZADD zset 5 x
ZCARD zset
ZCOUNT zset -inf +inf
ZDIFF 1 zset WITHSCORES
ZDIFFSTORE other 1 zset
ZINCRBY zset 1 member
ZINTER 1 zset WITHSCORES
ZINTERCARD 1 zset
ZINTERSTORE other 1 zset
ZLEXCOUNT zset - +
ZMPOP 1 zset MAX
ZMSCORE zset member x
ZPOPMAX zset
ZPOPMIN zset
ZRANDMEMBER zset 5 WITHSCORES
ZRANGE zset 0 -1 WITHSCORES
ZRANGEBYLEX zset - +
ZRANGEBYSCORE zset -inf +inf
ZRANGESTORE other zset 0 -1
ZRANK zset member
ZREM zset member
ZREMRANGEBYLEX zset - +
ZREMRANGEBYRANK zset 0 -1
ZREMRANGEBYSCORE zset -inf +inf
ZREVRANGE zset 0 -1
ZREVRANGEBYLEX zset + -
ZREVRANGEBYSCORE zset +inf -inf
ZREVRANK zset member
ZSCAN zset 0
ZSCORE zset member
ZUNION 1 zset WITHSCORES
ZUNIONSTORE zset 1 zset
JSON.ARRAPPEND json $.list 1
JSON.ARRINDEX json $.list 1
JSON.ARRINSERT json $.list 0 1
JSON.ARRLEN json $.list
JSON.ARRPOP json $.list
JSON.ARRTRIM json $.list 0 0
JSON.CLEAR json $
JSON.DEBUG HELP
JSON.DEBUG MEMORY json
JSON.DEL json $.n
JSON.FORGET json $.n
JSON.GET json $
JSON.MERGE json $ {"a":1}
JSON.MGET json nothing $
JSON.MSET json $ 1 fresh $ 2
JSON.NUMINCRBY json $.n 1
JSON.NUMMULTBY json $.n 2
JSON.OBJKEYS json $
JSON.OBJLEN json $
JSON.RESP json $
JSON.SET json $.n 2
JSON.STRAPPEND json $.name "x"
JSON.STRLEN json $.name
JSON.TOGGLE json $.flag
JSON.TYPE json $
COPY string fresh
COPY hash list DB 1 REPLACE | SELECT 1 | HGETALL list
DEL string hash list set zset json long number
DUMP hash
EXISTS string hash list
EXPIRE string 1000
EXPIREAT string 1
EXPIRETIME string
KEYS *
KEYS s*
KEYS string
MOVE string 2
OBJECT ENCODING string
!OBJECT FREQ string
OBJECT HELP
OBJECT IDLETIME string
OBJECT REFCOUNT string
PERSIST string
PEXPIRE string 1
PEXPIREAT string 1
PEXPIRETIME string
PTTL string
RANDOMKEY
RENAME hash list
RENAMENX string fresh
!RESTORE fresh 0 payload
!RESTORE string 0 payload REPLACE
SCAN 0 COUNT 1000
SCAN 9223372036854775808 TYPE hash
SCAN 1 MATCH s*
SORT list ALPHA GET #
SORT list ALPHA STORE other
SORT set BY hash->* GET string GET hash->field GET #
SORT_RO list ALPHA
TOUCH string hash
TTL string
TYPE string
UNLINK string hash list
COMMAND
COMMAND COUNT
COMMAND DOCS get
COMMAND GETKEYS GET string
COMMAND GETKEYSANDFLAGS GET string
COMMAND HELP
COMMAND INFO get
COMMAND LIST
CONFIG GET *
CONFIG HELP
CONFIG RESETSTAT
!CONFIG REWRITE
!CONFIG SET maxclients 5
CONFIG SET slowlog-max-len 5
DBSIZE
FLUSHALL
FLUSHDB
INFO
INFO everything
INFO clients memory stats commandstats errorstats latencystats keyspace ringstone store
LATENCY DOCTOR
!LATENCY GRAPH command
LATENCY HELP
LATENCY HISTOGRAM
LATENCY HISTORY command
LATENCY LATEST
LATENCY RESET
LOLWUT
MEMORY DOCTOR
MEMORY HELP
MEMORY MALLOC-STATS
MEMORY PURGE
MEMORY STATS
MEMORY USAGE string
MEMORY USAGE hash SAMPLES 0
MODULE HELP
MODULE LIST
MONITOR
ROLE
!SHUTDOWN NOSAVE
SLOWLOG GET
SLOWLOG HELP
SLOWLOG LEN
SLOWLOG RESET
SWAPDB 0 1 | GET in-one | SELECT 1 | GET string | DBSIZE
TENANT HELP
TENANT INFO acme
TENANT LIST
TENANT SETQUOTA acme commands 5
TENANT DROP acme
TIME
MULTI | GET string | DISCARD
WATCH string | MULTI | GET string | LRANGE list 0 -1 | SET string x | EXEC
WATCH list string | UNWATCH
!AUTH default password
CLIENT GETNAME
CLIENT GETREDIR
CLIENT HELP
CLIENT ID
CLIENT INFO
!CLIENT KILL 203.0.113.1:1
CLIENT KILL ID 1
CLIENT KILL ID 2
CLIENT KILL TYPE normal
CLIENT KILL LADDR 127.0.0.1:6379
CLIENT KILL USER default SKIPME yes
CLIENT LIST
CLIENT LIST ID 1 2 3 4
CLIENT LIST TYPE normal
CLIENT NO-EVICT ON
CLIENT NO-TOUCH ON
CLIENT PAUSE 0
CLIENT REPLY ON
CLIENT SETINFO lib-name x
CLIENT SETNAME x | CLIENT LIST
CLIENT TRACKINGINFO
CLIENT UNBLOCK 1
CLIENT UNBLOCK 2 ERROR
CLIENT UNPAUSE
ECHO x
HELLO 3
PING
QUIT
RESET
SELECT 1 | GET in-one | KEYS * | DBSIZE
WAIT 0 0
CLUSTER INFO
!CLUSTER ADDSLOTS 1
!CLUSTER ADDSLOTSRANGE 1 2
!CLUSTER BUMPEPOCH
!CLUSTER COUNT-FAILURE-REPORTS n
!CLUSTER COUNTKEYSINSLOT 1
!CLUSTER DELSLOTS 1
!CLUSTER DELSLOTSRANGE 1 2
!CLUSTER FAILOVER
!CLUSTER FLUSHSLOTS
!CLUSTER FORGET n
!CLUSTER GETKEYSINSLOT 1 1
!CLUSTER HELP
!CLUSTER KEYSLOT string
!CLUSTER LINKS
!CLUSTER MEET 127.0.0.1 1
!CLUSTER MYID
!CLUSTER NODES
!CLUSTER REPLICAS n
!CLUSTER REPLICATE n
!CLUSTER RESET
!CLUSTER SAVECONFIG
!CLUSTER SET-CONFIG-EPOCH 1
!CLUSTER SETSLOT 1 STABLE
!CLUSTER SHARDS
!CLUSTER SLAVES n
!CLUSTER SLOTS
PUBSUB CHANNELS
PUBSUB HELP
PUBSUB NUMPAT
PUBSUB NUMSUB channel
"#;

/// Keys that [`GIVEN`] makes, one of every type: arguments for whatever takes any.
pub const KEYS: [&str; 9] =
    ["string", "number", "long", "hash", "list", "set", "zset", "json", "in-one"];

/// One pipeline.
pub struct Line {
    /// The line, to be shown.
    pub text: &'static str,
    /// Whether it may be refused.
    pub may_fail: bool,
    /// The commands, each with its name first.
    pub commands: Vec<Vec<Vec<u8>>>,
}

/// The pipelines of a text such as [`REQUESTS`].
pub fn lines(text: &'static str) -> impl Iterator<Item = Line> {
    text.lines().filter(|line| !line.is_empty()).map(|text| {
        let (commands, may_fail) = match text.strip_prefix('!') {
            Some(commands) => (commands, true),
            None => (text, false),
        };
        let commands = commands.split(" | ").map(super::words).collect();
        Line { text, may_fail, commands }
    })
}

/// Arguments for a command that takes `count` of them with its name: every key, and a number, in all
/// places.
pub fn generic(name: &str, count: usize) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let name: Vec<Vec<u8>> = name.split('|').map(|word| word.as_bytes().to_vec()).collect();
    let room = count.saturating_sub(name.len());
    let first = KEYS.into_iter().map(move |key| vec![key; room]);
    let counted = KEYS.into_iter().map(move |key| {
        let mut arguments = vec![key; room];
        arguments.iter_mut().skip(1).for_each(|argument| *argument = "1");
        arguments
    });
    first.chain(counted).map(move |arguments| {
        let arguments = arguments.into_iter().map(|argument| argument.as_bytes().to_vec());
        name.iter().cloned().chain(arguments).collect()
    })
}
