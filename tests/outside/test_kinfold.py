"""What docs/PROTOCOL.md promises to a client in another language, asked of real nodes.

`cargo nextest run -p e2e outside` starts the nodes and runs this. OUTSIDE_SITE is the folder with the certificates,
OUTSIDE_NODES the nodes' addresses; the cluster is `e2e`, `app` a client and `boss` an operator.
"""

import os
import unittest

import blake3
import cbor2

from kinfold import PEER, Client, Closed, Conflict, Failed, connect, frame

SITE = os.environ["OUTSIDE_SITE"]
NODES = [(h, int(p)) for h, p in (n.split(":") for n in os.environ["OUTSIDE_NODES"].split(","))]
BUCKET = {"n": 3, "r": 2, "w": 2, "consistency": "strict", "plugin_config": b""}


def dial(name="app", node=0, **options):
    """A client with the certificate of this name."""
    files = [os.path.join(SITE, file) for file in ("ca.pem", f"{name}.pem", f"{name}.key")]
    return connect(NODES[node], "e2e", *files, **options)


async def bucket(client, name, mode="siblings"):
    """A bucket for one test."""
    async with dial("boss") as boss:
        missing = await boss.bucket_create(name, {**BUCKET, "mode": mode})
    assert missing == [], missing
    return name


class Kinfold(unittest.IsolatedAsyncioTestCase):
    async def refused(self, code, asked):
        with self.assertRaises(Failed) as failed:
            await asked
        self.assertEqual(failed.exception.code, code, failed.exception)
        self.assertTrue(failed.exception.message)

    async def test_a_value_comes_back_is_replaced_and_deleted(self):
        async with dial() as client:
            things = await bucket(client, "things")
            nothing = await client.get(things, b"a")
            self.assertEqual((nothing.values, nothing.deleted), ([], False))
            # What is not there has a context, too, and it may go back.
            one = await client.put(things, b"a", b"one", context=nothing.context)
            self.assertGreaterEqual(one.owners + one.fallbacks, 2)
            self.assertEqual((await client.get(things, b"a")).values, [b"one"])
            two = await client.put(things, b"a", b"two", context=one.context, w=3)
            found = await client.get(things, b"a", r=3)
            self.assertEqual((found.values, found.owners, found.merged), ([b"two"], 3, False))
            self.assertEqual(found.context, two.context)
            await client.delete(things, b"a", context=found.context)
            gone = await client.get(things, b"a")
            self.assertEqual((gone.values, gone.deleted), ([], True))
            again = await client.put(things, b"a", b"", context=gone.context)
            # An empty value is one.
            self.assertEqual((await client.get(things, b"a")).values, [b""])
            # A context is an array of intervals, sorted and disjoint.
            seen = cbor2.loads(again.context)
            self.assertEqual(seen, sorted(seen))
            self.assertTrue(all(first <= last for _, first, last in seen), seen)

    async def test_writes_that_do_not_know_of_each_other_become_siblings(self):
        async with dial() as client, dial(node=1) as other:
            things = await bucket(client, "siblings")
            first = await client.put(things, b"a", b"first")
            await other.put(things, b"a", b"second")
            both = await client.get(things, b"a")
            self.assertEqual(sorted(both.values), [b"first", b"second"])
            # A delete of what was seen leaves what was not.
            await other.delete(things, b"a", context=first.context)
            left = await client.get(things, b"a")
            self.assertEqual((left.values, left.deleted), ([b"second"], True))
            await client.put(things, b"a", b"one", context=left.context)
            self.assertEqual((await other.get(things, b"a")).values, [b"one"])

    async def test_a_plugin_merges_siblings(self):
        async with dial() as client:
            lattice = {"lattice": {"plugin": "set-union", "tombstones": "reset"}}
            carts = await bucket(client, "carts", lattice)
            await client.put(carts, b"alice", b"milk\n")
            await client.put(carts, b"alice", b"bread\n")
            self.assertEqual((await client.get(carts, b"alice")).values, [b"bread\nmilk\n"])
            resolver = await bucket(client, "resolved", {"resolver": {"plugin": "set-union"}})
            await client.put(resolver, b"alice", b"milk\n")
            await client.put(resolver, b"alice", b"bread\n")
            found = await client.get(resolver, b"alice")
            self.assertEqual((found.values, found.merged), ([b"bread\nmilk\n"], True))
            names = (await client.ask("bucket_list"))[1]
            self.assertEqual(names["carts"]["config"]["mode"], lattice)

    async def test_of_writes_on_one_condition_one_is_made(self):
        async with dial() as client, dial(node=2) as other:
            locks = await bucket(client, "locks")
            held = await client.put(locks, b"printer", b"alice", conditional=True)
            with self.assertRaises(Conflict) as late:
                await other.put(locks, b"printer", b"bob", conditional=True, context=b"")
            late = late.exception.found
            self.assertEqual((late.values, late.context), ([b"alice"], held.context))
            name = os.urandom(16)
            condition = {"conditional": True, "context": held.context, "request": name}
            await other.put(locks, b"printer", b"bob", **condition)
            # The same request again is the same write; another one on that condition is too late.
            await client.put(locks, b"printer", b"bob", **condition)
            with self.assertRaises(Conflict):
                await client.delete(locks, b"printer", conditional=True, context=held.context)
            found = await client.get(locks, b"printer")
            self.assertEqual(found.values, [b"bob"])
            await client.delete(locks, b"printer", conditional=True, context=found.context)
            # What was deleted is an object, too.
            with self.assertRaises(Conflict) as deleted:
                await client.put(locks, b"printer", b"carol", conditional=True)
            deleted = deleted.exception.found
            self.assertEqual((deleted.values, deleted.deleted), ([], True))
            await client.put(locks, b"printer", b"carol", conditional=True, context=deleted.context)

    async def test_a_retry_is_no_second_write(self):
        async with dial() as client, dial(node=1) as other:
            things = await bucket(client, "retries")
            name = os.urandom(16)
            await client.put(things, b"a", b"once", request=name)
            await other.put(things, b"a", b"once", request=name)
            self.assertEqual((await client.get(things, b"a", r=3)).values, [b"once"])
            # Under another name it would have been: a sibling, which a context that has not seen it does not replace.
            first = await client.get(things, b"a")
            await other.put(things, b"a", b"again")
            await client.delete(things, b"a", context=first.context)
            self.assertEqual((await client.get(things, b"a", r=3)).values, [b"again"])
            # Equal siblings are shown once.
            await client.put(things, b"a", b"again")
            self.assertEqual((await client.get(things, b"a", r=3)).values, [b"again"])

    async def test_keys_are_listed_in_pages(self):
        async with dial() as client:
            things = await bucket(client, "listed")
            keys = [b"key %d" % number for number in range(30)]
            for key in keys + [b"another"]:
                await client.put(things, key, b"v")
            await client.delete(things, keys.pop(), context=(await client.get(things, b"key 29")).context)
            listed, cursor, pages = [], {}, 0
            while cursor is not None:
                page = await client.list(things, prefix=b"key", limit=7, **cursor)
                self.assertLessEqual(len(page.keys), 7)
                listed += page.keys
                last = cursor
                cursor = None if page.cursor is None else {"cursor": page.cursor}
                pages += 1
            self.assertEqual(sorted(listed), sorted(keys))
            self.assertGreater(pages, 4)
            damaged = bytearray(last["cursor"])
            damaged[-1] ^= 1
            await self.refused("bad_request", client.list(things, prefix=b"key", cursor=bytes(damaged)))

    async def test_large_values_go_in_parts(self):
        async with dial(deadline_ms=60_000) as client:
            things = await bucket(client, "large")
            value = os.urandom(1 << 20) * 2 + b"!"
            await client.put(things, b"a", value)
            # Not assertEqual, which would print both.
            self.assertTrue((await client.get(things, b"a")).values == [value])
            lengths = (100).to_bytes(4) + ((64 << 20) - 1).to_bytes(4)
            response, _ = await client.raw(lengths)
            self.assertEqual(response["failed"]["code"], "too_large")

    async def test_the_layout_says_where_a_key_lives(self):
        async with dial() as client:
            things = await bucket(client, "where")
            layout = await client.layout()
            bits = layout["partitions"].bit_length() - 1
            for key in (b"a", b"\x00", b"alice", bytes(100)):
                place = blake3.blake3(things.encode() + b"\0" + key).digest()
                partition = int.from_bytes(place[:8]) >> (64 - bits)
                entries = layout["owners"][partition * layout["copies"] :][: BUCKET["n"]]
                owners = [layout["members"][entry]["id"] for entry in entries]
                explained = (await client.ask({"explain": {"bucket": things, "key": key}}))[1]
                self.assertEqual(explained["partition"], partition)
                self.assertEqual(explained["owners"], owners)
            addresses = sorted(member["address"] for member in layout["members"])
            self.assertEqual(addresses, sorted(f"{host}:{port}" for host, port in NODES))

    async def test_what_can_not_be_is_told_by_its_code(self):
        async with dial() as client:
            things = await bucket(client, "codes")
            await self.refused("unknown_bucket", client.get("nothing", b"a"))
            await self.refused("bad_request", client.get(things, b""))
            await self.refused("bad_request", client.put(things, b"a", b"v", w=4))
            await self.refused("too_large", client.put(things, bytes(4097), b"v"))
            await self.refused("bad_context", client.put(things, b"a", b"v", context=b"\x01"))
            ahead = cbor2.dumps([[1, 1 << 61, 1 << 61]])
            await self.refused("bad_context", client.put(things, b"a", b"v", context=ahead))
            touching = cbor2.dumps([[1, 1, 2], [1, 3, 4]])
            await self.refused("bad_context", client.put(things, b"a", b"v", context=touching))
            self.assertEqual((await client.get(things, b"a")).values, [])
        async with dial("boss") as boss:
            again = boss.bucket_create(things, {**BUCKET, "mode": "siblings", "r": 1})
            await self.refused("bucket_exists", again)

    async def test_each_role_does_what_it_may(self):
        async with dial() as client:
            create = client.bucket_create("mine", {**BUCKET, "mode": "siblings"})
            await self.refused("forbidden", create)
            await self.refused("forbidden", client.ask({"plugin": {"install": {"seed": 1, "cases": 1}}}, b"x"))
            await self.refused("forbidden", client.ask({"plugin": {"remove": "a@1.0.0"}}))
            self.assertNotIn("mine", (await client.ask("bucket_list"))[1])

    async def test_nothing_is_said_before_the_handshake_is_done(self):
        """Without a ticket there is no early data, so nobody can play a recorded put again."""
        tickets = []
        async with dial(on_ticket=tickets.append) as client:
            await client.layout()
        self.assertEqual(tickets, [])

    async def test_a_client_is_no_node(self):
        # The handshake may be done here before the node has looked at who we are.
        with self.assertRaises(Closed) as closed:
            async with dial(protocol=PEER) as client:
                raise await client.connection.closed
        self.assertEqual(closed.exception.code, 2, closed.exception)
        self.assertTrue(closed.exception.reason)
        with self.assertRaises(Closed):
            async with dial(protocol="kinfold/0"):
                pass

    async def test_what_is_malformed_is_answered_so_and_others_go_on(self):
        async with dial() as client:
            things = await bucket(client, "malformed")
            await client.put(things, b"a", b"one")
            get = {"layout": 0, "request": {"get": {"bucket": things, "key": b"a"}}}
            good = frame(get)
            header = cbor2.dumps(get)

            def without(key):
                return {name: get[name] for name in get if name != key}

            deep = [0]
            for _ in range(20):
                deep = [deep]
            malformed = {
                "nothing at all": b"",
                "half of the lengths": good[:5],
                "no header": bytes(8),
                "a header too long": (2_097_153).to_bytes(4) + bytes(4),
                "a body too long": (1).to_bytes(4) + (67_108_865).to_bytes(4) + b"\xa0",
                "half of a header": good[:-3],
                "bytes after the frame": good + b"!",
                "a body that is not there": (len(header)).to_bytes(4) + (3).to_bytes(4) + header,
                "no CBOR": frame(b"GET /a HTTP/1.1\r\n\r\n"),
                "two items": frame(header + b"\x00"),
                "an indefinite map": frame(b"\xbf" + header[1:] + b"\xff"),
                "an indefinite string": frame(header.replace(b"\x41a", b"\x5f\x41a\xff")),
                "a number that is too long": frame(header.replace(b"layout\x00", b"layout\x18\x00")),
                "a tag": frame(header.replace(b"layout\x00", b"layout\xc0\x00")),
                "a float": frame({**get, "layout": 0.5}),
                "undefined": frame(header.replace(b"layout\x00", b"layout\xf7")),
                "text that is not UTF-8": frame(header.replace(b"malformed", b"malform\xff\xff")),
                "too deep": frame({**get, "more": deep}),
                "no request": frame(without("request")),
                "no layout": frame(without("layout")),
                "a list": frame([1, 2, 3]),
                "an unknown request": frame({**get, "request": {"steal": {}}}),
                "two requests": frame({**get, "request": {"get": get["request"]["get"], "layout": None}}),
                "a key that is text": frame({**get, "request": {"get": {"bucket": things, "key": "a"}}}),
                "a key twice": frame(b"\xa3" + header[1:] + b"\x66layout\x00"),
                "a negative number": frame({**get, "layout": -1}),
                "a body where none belongs": frame(get, b"!"),
                "a delete with a value": frame(
                    {**get, "request": {"delete": {"bucket": things, "key": b"a", "request": bytes(16)}}}, b"!"
                ),
                "a name that can't be": frame({**get, "request": {"get": {"bucket": "a/b", "key": b"a"}}}),
                "a request of 15 bytes": frame(
                    {**get, "request": {"put": {"bucket": things, "key": b"a", "request": bytes(15)}}}
                ),
            }
            for what, data in malformed.items():
                with self.subTest(what):
                    response, body = await client.raw(data)
                    self.assertEqual(response["failed"]["code"], "malformed", response)
                    self.assertEqual(body, b"")
            # An unknown key is no fault, wherever it stands.
            response, body = await client.raw(frame({**get, "colour": {"blue": [1, None, True]}}))
            self.assertEqual(body, b"one", response)
            # A stream that is given up, one that never ends, and one that says nothing: others are answered.
            for data in (good[:9], good[:3], good):
                client.connection.send(data, end=False)
            self.assertEqual((await client.get(things, b"a")).values, [b"one"])


if __name__ == "__main__":
    unittest.main()
