#!/usr/bin/env python3
"""Makes tokens.txt: tokens that biscuit-python made or weakened, one a line after its name.

    pip install biscuit-python==0.4.0
    python3 tests/auth/weaken.py >tests/auth/tokens.txt

The root key is the first one of RFC 8032, so nobody should trust it. `minted` comes from
`ringstone token mint --tenant acme`; holders weaken it knowing only the public key. tests/auth.rs says
what each token allows.
"""

from datetime import datetime, timezone

from biscuit_auth import Algorithm, Biscuit, BiscuitBuilder, BlockBuilder, PrivateKey, PublicKey

PRIVATE = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
MINTED = (
    "CAcSkQEKJwoEYWNtZRgDIgkKBwgIEgMYgAgiCAoGCAQSAhgAIggKBggEEgIYARIkCAASIJJhRku5PZdLS0aJBZNE"
    "HxtjLGPsXJ5JkI_F4sOi1eZwGkAwKB-tfTBWXTYlISTaYQLMaWLqA8IoOj_ngKiVCEuFPiMT1j36bEZGYBoMPose"
    "tguiQYjscZ6rPJGkU_TwvZUJIiIKIKlf6vXt7E936ZdxUIBEAkhkIjRaw5UoMfpcBUS1m7V3"
)

root = PublicKey.from_bytes(bytes.fromhex(PUBLIC), Algorithm.Ed25519)
minted = Biscuit.from_base64(MINTED, root)


def show(name, token):
    print(name, token.to_base64())


def weaken(name, code, token=minted, **values):
    weaker = token.append(BlockBuilder(code, values))
    show(name, weaker)
    return weaker


show("minted", minted)
reader = weaken("read-only", 'check if class("read") or class("connection")')
weaken("key-prefix", "check all key($k), $k.starts_with({prefix})", prefix="cache:")
weaken("twice", 'check all key($k), $k.starts_with("cache:") or class("connection")', token=reader)
weaken("one-key", 'check if key("counter")')
weaken("commands", 'check if command($c), ["get", "mget", "ping"].contains($c)')
weaken("not-flushall", 'reject if command($c), $c.starts_with("flush")')
weaken("database", "check if database(3)")
weaken("until", "check if time($t), $t < {date}", date=datetime(2027, 1, 15, 8, 0, tzinfo=timezone.utc))
weaken("network", 'check if client_address($a), $a.starts_with("10.1."); check if tls(true)')
weaken("pattern", r'check all key($k), $k.matches("^user:[0-9]+$")')
weaken("rule", 'mine($k) <- key($k), $k.ends_with(":mine"); check if mine($k) or class("connection")')
weaken("grab", 'right("admin"); tenant("other"); class("read"); key("cache:x"); check if class("read")')

key = PrivateKey.from_bytes(bytes.fromhex(PRIVATE), Algorithm.Ed25519)
show("made-elsewhere", BiscuitBuilder('tenant("acme"); right("read")').build(key))
