"""Disks that fail, fill up or dawdle: what the client hears, what the log and the figures say, who goes on, and the way back.

On our own layer (faultfs), which fails on demand.
"""

import contextlib
import json
import signal
import time

from machine import Machine, acknowledged, logged, mailbox, since
from server import PATIENCE, wait_until
from wire import Client

CONTENT = b"Subject: x\r\n\r\nkept\r\n"

# All mail is kept in a repository.
KEEPING = """<mailetcontainer>
  <context><postmaster>postmaster@localhost</postmaster></context>
  <spooler><errorRepository>file://var/mail/failed/</errorRepository></spooler>
  <processors>
    <processor state="root">
      <mailet match="All" class="ToRepository"><repositoryPath>file://var/mail/kept/</repositoryPath></mailet>
    </processor>
    <processor state="error">
      <mailet match="All" class="ToRepository"><repositoryPath>file://var/mail/error/</repositoryPath></mailet>
    </processor>
  </processors>
</mailetcontainer>
"""


class FaultTest(Machine):
    # Two shards, so that there is one that goes on.
    own = "<shards>0,1</shards><delivery><retry>1s</retry></delivery>"

    def begin(self, capacity=None, own=own, spool_settings=""):
        self.layer = self.fault_fs(capacity)
        disk = self.home / "disk"
        self.mail = mailbox(disk / "mail")
        server = self.serve(disk / "spool", disk / "mail", own=own, spool_settings=spool_settings)
        server.start()
        server.wait_until_prepared()
        return server

    def status(self, server):
        """What each shard says of its spool."""
        return [shard["spool"] for shard in json.loads(server.run("status", "--json"))["shards"]]

    def send(self, server):
        """One message on a connection of its own; the shard's last words on it."""
        client = Client(server.smtp)
        with contextlib.closing(client.socket), contextlib.closing(client.input):
            reply = client.command("MAIL FROM:<me@example.org>")
            if reply.code != 250:
                return reply
            client.command("RCPT TO:<you@localhost>", 250)
            return client.data(CONTENT)

    def send_until(self, server, code):
        """Sends on new connections until one hears this; all that was heard."""
        heard = []

        def another():
            heard.append(self.send(server))
            return heard[-1].code == code

        wait_until(another, f"a reply {code}")
        return heard

    def arrived(self):
        new = self.mail / "new"
        return len(list(new.iterdir())) if new.is_dir() else 0

    def closed_spool(self, operation, errno):
        """One shard's disk fails; the other goes on; after a start with a whole disk nothing acknowledged is missing."""
        server = self.begin()
        kept = sum(self.send(server).code == 250 for _ in range(10))
        self.assertEqual(kept, 10)
        # Transactions on both shards, of which the content is still to come.
        clients = [Client(server.smtp) for _ in range(12)]
        for client in clients:
            client.envelope()
            client.command("DATA", 354)
        self.layer.tell("fail", operation, errno, "/spool/shard-0")
        heard = []
        for client in clients:
            client.send(CONTENT + b".\r\n")
            heard.append(client.reply())
            client.input.close()
            client.socket.close()
        self.assertEqual({reply.code for reply in heard}, {250, 451})
        self.assertEqual({reply.text[:5] for reply in heard if reply.code == 451}, {"4.3.2"})
        heard += self.send_until(server, 421)
        self.assertIn("421 4.3.2", f"{heard[-1].code} {heard[-1].text}")
        wait_until(lambda: self.status(server) == ["closed", "open"], "figures that say so")
        self.assertEqual(len(logged(server, "spool-closed")), 1)
        # The other shard takes mail and delivers it.
        before = self.arrived()
        more = sum(reply.code == 250 for reply in self.send_until(server, 250))
        wait_until(lambda: self.arrived() > before, "mail of the other shard")
        # Without power, and back with a disk that works.
        self.layer.tell("freeze")
        server.process.send_signal(signal.SIGKILL)
        self.layer.tell("cut", 7)
        server.kill()
        self.layer.tell("clear")
        self.layer.tell("restore")
        server.start()
        kept += more + sum(reply.code == 250 for reply in heard)
        wait_until(lambda: self.arrived() >= kept, f"all of {kept} messages")
        wait_until(lambda: self.status(server) == ["open", "open"], "two open spools")
        self.send_until(server, 250)

    def test_a_write_that_fails_closes_the_spool_of_one_shard(self):
        self.closed_spool("write", "EIO")

    def test_a_sync_that_fails_closes_the_spool_of_one_shard(self):
        self.closed_spool("sync", "EIO")

    def test_a_write_without_room_closes_the_spool_of_one_shard(self):
        self.closed_spool("write", "ENOSPC")

    def test_a_disk_that_turns_read_only_takes_no_mail(self):
        server = self.begin()
        self.assertEqual(self.send(server).code, 250)
        wait_until(lambda: self.arrived() == 1, "the message")
        self.layer.tell("read-only")
        self.send_until(server, 451)
        server.kill()
        self.layer.tell("clear")
        server.start()
        self.send_until(server, 250)

    def test_a_full_disk_puts_mail_off_and_is_over_by_itself(self):
        # Room for a few segments of each shard above the reserve.
        server = self.begin(capacity=64 << 20, own=self.own.replace("<delivery>", "<delivery><hold>true</hold>"))
        ledger = self.ledger()
        source = self.source(server, ledger, ["--size", "100000"])
        wait_until(lambda: logged(server, "spool-full"), "a full spool")
        wait_until(lambda: set(self.status(server)) == {"full"}, "all spools full")
        reply = self.send_until(server, 452)[-1]
        self.assertIn("452 4.3.1", f"{reply.code} {reply.text}")
        source.terminate()
        source.wait(PATIENCE)
        taken = acknowledged(ledger)
        self.assertGreater(taken, 20)
        prepared = len(logged(server, "spool-prepared"))
        self.layer.tell("capacity", 4 << 30)
        wait_until(lambda: len(logged(server, "spool-prepared")) > prepared, "new segments")
        self.send_until(server, 250)
        # What was taken before is all there.
        server.stop()
        conf = server.home / "conf" / "ringpost.xml"
        conf.write_text(conf.read_text().replace("<hold>true</hold>", ""))
        server.start()
        self.verify(self.mail, ledger)

    def test_mailboxes_that_fail_put_deliveries_off(self):
        for operation, errno in [("write", "EIO"), ("write", "ENOSPC"), ("sync", "EIO"), ("rename", "EIO"),
                                 ("make", "ENOSPC"), ("sync-directory", "EIO")]:  # fmt: skip
            with self.subTest(operation=operation, errno=errno):
                self.home.mkdir(exist_ok=True)
                server = self.begin()
                self.assertEqual(self.send(server).code, 250)
                wait_until(lambda: self.arrived() == 1, "the message")
                self.layer.tell("fail", operation, errno, "/mail")
                deferred = len(logged(server, "deferred"))
                sent = [self.send(server) for _ in range(10)]
                self.assertEqual({reply.code for reply in sent}, {250})
                wait_until(lambda: len(logged(server, "deferred")) >= deferred + 10, "deferred mail")
                self.assertEqual(self.status(server), ["open", "open"])
                # Over LMTP the client hears it and keeps the message.
                with Client(server.lmtp, "LHLO") as client:
                    client.envelope()
                    reply = client.data(CONTENT)
                    self.assertEqual(reply.code, 451, reply)
                self.layer.tell("clear")
                wait_until(lambda: self.arrived() == 11, "all of it")
                time.sleep(1)
                self.assertEqual(self.arrived(), 11)
                server.kill()
                self.layer.end()
                self.layer.directory.rmdir()

    def test_repositories_that_fail_put_mail_off(self):
        layer = self.layer = self.fault_fs()
        disk = self.home / "disk"
        own = f"{self.own}<repositories><directory>{disk}/repositories</directory></repositories>"
        server = self.serve(disk / "spool", disk / "mail", own=own)
        (server.home / "conf" / "mailetcontainer.xml").write_text(KEEPING)
        server.start()
        server.wait_until_prepared()
        kept = 0
        for operation, errno, text in [
            ("write", "EIO", "Input/output error"),
            ("write", "ENOSPC", "No space left on device"),
            ("sync", "EIO", "Input/output error"),
            ("rename", "EIO", "Input/output error"),
            ("sync-directory", "EIO", "Input/output error"),
        ]:
            with self.subTest(operation=operation, errno=errno):
                begun = (server.home / "log").stat().st_size
                layer.tell("fail", operation, errno, "/repositories")
                self.assertEqual({self.send(server).code for _ in range(3)}, {250})
                kept += 3
                wait_until(lambda: text in since(server.home / "log", begun), f"a line with {text}")
                layer.tell("clear")
                wait_until(lambda: not server.run("queue", "list", "--json"), "an empty queue")
                files = [file for file in (disk / "repositories").rglob("*") if file.is_file()]
                for ending in (".eml", ".json"):
                    self.assertEqual(sum(file.suffix == ending for file in files), kept, files)
                self.assertEqual(self.status(server), ["open", "open"])

    def test_outcomes_that_cannot_be_noted_cost_a_second_attempt_and_nothing_else(self):
        server = self.begin(own=self.own.replace("<delivery>", "<delivery><hold>true</hold>"))
        sent = [self.send(server) for _ in range(20)]
        self.assertEqual({reply.code for reply in sent}, {250})
        server.stop()
        conf = server.home / "conf" / "ringpost.xml"
        conf.write_text(conf.read_text().replace("<hold>true</hold>", ""))
        # Mail is in both spools; from the first outcome on, writes to them fail.
        self.layer.tell("delay", 200, 200)
        server.start()
        self.layer.tell("fail", "write", "EIO", "/spool/shard-0/segment")
        self.layer.tell("fail", "write", "EIO", "/spool/shard-1/segment")
        self.layer.tell("delay", 0, 0)
        wait_until(lambda: set(self.status(server)) == {"closed"}, "closed spools")
        self.assertTrue(logged(server, "outcome-not-noted"))
        server.kill()
        self.layer.tell("clear")
        server.start()
        wait_until(lambda: self.status(server) == ["open", "open"] and not server.run("queue", "list", "--json"), "an empty queue")
        self.assertEqual(self.arrived(), 20)

    def test_a_slow_disk_makes_clients_wait_and_nothing_else(self):
        server = self.begin()
        self.layer.tell("delay", 2500, 3000)
        begun = time.monotonic()
        self.assertEqual(self.send(server).code, 250)
        self.assertGreater(time.monotonic() - begun, 2.4)
        wait_until(lambda: logged(server, "spool-slow"), "a line about the slow disk")
        ledger = self.ledger()
        source = self.source(server, ledger, sessions=40)
        time.sleep(9)
        self.layer.tell("delay", 0, 0)
        time.sleep(1)
        server.stop()
        source.wait(PATIENCE)
        self.assertGreaterEqual(acknowledged(ledger), 80)
        server.start()
        self.verify(self.mail, ledger)
        self.assertEqual(logged(server, "spool-closed"), [])
