"""Real file systems: what the start says of each, and kills under load on it; and disks of them that fill up, fail or vanish."""

import os
import subprocess
import time

from machine import ROUNDS, SEED, Machine, acknowledged, empty, logged, mailbox, run, unmount
from server import PATIENCE, RINGPOST, wait_until
from wire import Client

DIRECT = "direct writes"

EXT4 = ["mkfs.ext4", "-q", "-F"]
XFS = ["mkfs.xfs", "-q", "-f"]
BTRFS = ["mkfs.btrfs", "-q", "-f"]


class FileSystemTest(Machine):
    """Spool and mailboxes on it: started, killed under load again and again, started again."""

    def kills(self, directory, says, settings=""):
        spool, mail = directory / "spool", directory / "mail"
        server = self.serve(spool, mail, settings)
        server.start()
        self.assertIn(says, server.announcement)
        messages = 0
        for number in range(ROUNDS):
            with self.subTest(round=number, seed=SEED):
                messages += self.kill_round(server, mailbox(mail), number, self.random.uniform(0.3, 1.5))
            # However many rounds there are, the disk is not to be full.
            empty(mailbox(mail))
        self.assertEqual(logged(server, "damage-set-aside"), [])
        print(f"{says}; {ROUNDS} kills, {messages} messages ", end="", flush=True)

    def refused(self, directory, says):
        """The start refuses it, and says what it is."""
        server = self.serve(directory / "spool")
        done = subprocess.run(
            [RINGPOST, "--conf", server.home / "conf"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn(says, done.stderr)
        print(done.stderr.strip().splitlines()[-1], end=" ", flush=True)

    def test_ext4(self):
        self.kills(self.loop("2G", EXT4), f"ext4, {DIRECT}")

    def test_ext4_that_journals_data(self):
        # The kernel takes O_DIRECT there and goes through the page cache all the same.
        self.kills(self.loop("2G", EXT4, "data=journal"), f"ext4, {DIRECT}")

    def test_ext4_without_barriers(self):
        directory = self.loop("1G", EXT4, "nobarrier")
        self.refused(directory, "ext4 mounted with nobarrier")

    def test_xfs(self):
        self.kills(self.loop("2G", XFS), f"xfs, {DIRECT}")

    def test_btrfs(self):
        self.kills(self.loop("2G", BTRFS), f"btrfs, {DIRECT}; it copies on write")

    def test_tmpfs(self):
        directory = self.home / "disk"
        directory.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=2G", "tmpfs", directory)
        self.addCleanup(unmount, directory)
        self.refused(directory, "tmpfs")
        self.kills(directory, "tmpfs, ", "<volatile>true</volatile>")

    def test_ramfs(self):
        directory = self.home / "disk"
        directory.mkdir()
        run("mount", "-t", "ramfs", "ramfs", directory)
        self.addCleanup(unmount, directory)
        self.refused(directory, "ramfs")

    def overlay(self, options=""):
        for name in ("lower", "upper", "work", "disk"):
            (self.home / name).mkdir()
        parts = [f"{name}dir={self.home / name}" for name in ("lower", "upper", "work")]
        options = ",".join([*parts, *([options] if options else [])])
        run("mount", "-t", "overlay", "-o", options, "overlay", self.home / "disk")
        self.addCleanup(unmount, self.home / "disk")
        return self.home / "disk"

    def test_overlay(self):
        self.kills(self.overlay(), f"overlay, {DIRECT}")

    def test_overlay_that_leaves_syncs_out(self):
        self.refused(self.overlay("volatile"), "overlay mounted with ")


class DiskTest(Machine):
    """A disk of its own under spool and mailboxes, and what can happen to it."""

    own = "<delivery><retry>1s</retry></delivery>"

    def begin(self, size, make, options=""):
        self.disk = self.loop(size, make, options)
        self.mail = mailbox(self.disk / "mail")
        server = self.serve(self.disk / "spool", self.disk / "mail", own=self.own)
        server.start()
        server.wait_until_prepared()
        return server

    def mail_reply(self, server):
        """What MAIL hears on a new connection."""
        client = Client(server.smtp)
        try:
            reply = client.command("MAIL FROM:<me@example.org>")
            return f"{reply.code} {reply.text}"
        finally:
            client.input.close()
            client.socket.close()

    def wait_for_reply(self, server, expected):
        """Waits until all of ten new connections hear it, so that it is both shards that say so."""
        wait_until(
            lambda: all(self.mail_reply(server).startswith(expected) for _ in range(10)), f"{expected} for all"
        )

    def loaded(self, server, seconds):
        """Load, and its ledger, once the server has gone or is full."""
        ledger = self.ledger()
        source = self.source(server, ledger, ["--size", "20000"])
        time.sleep(seconds)
        return ledger, source

    def test_a_full_disk(self):
        server = self.begin("160M", EXT4)
        filler = self.disk / "filler"
        # All but some MiB, of which the server leaves its reserve alone.
        with filler.open("wb") as file:
            free = os.statvfs(self.disk)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (24 << 20))
        ledger, source = self.loaded(server, 3)
        self.wait_for_reply(server, "452 4.3.1")
        self.assertTrue(logged(server, "spool-full"))
        self.assertEqual(logged(server, "spool-closed"), [])
        source.terminate()
        source.wait(PATIENCE)
        self.assertGreater(acknowledged(ledger), 0)
        filler.unlink()
        self.wait_for_reply(server, "250")
        self.verify(self.mail, ledger)
        print(f"{acknowledged(ledger)} messages before it was full ", end="", flush=True)

    def test_ext4_that_turns_read_only(self):
        server = self.begin("512M", EXT4, "errors=remount-ro")
        ledger, source = self.loaded(server, 2)
        device = run("findmnt", "--noheadings", "--output", "SOURCE", self.disk).strip().rsplit("/", 1)[1]
        with open(f"/sys/fs/ext4/{device}/trigger_fs_error", "w") as trigger:
            trigger.write("1")
        self.closed_and_back(server, ledger, source)

    def test_xfs_that_shuts_down(self):
        server = self.begin("512M", XFS)
        ledger, source = self.loaded(server, 2)
        run("xfs_io", "-x", "-c", "shutdown", self.disk)
        self.closed_and_back(server, ledger, source, "shut down")

    def closed_and_back(self, server, ledger, source, why=""):
        self.wait_for_reply(server, "421 4.3.2")
        source.terminate()
        source.wait(PATIENCE)
        closed = logged(server, "spool-closed")
        self.assertEqual(len(closed), server.shards)
        self.assertGreater(acknowledged(ledger), 0)
        server.kill()
        # Mounted again, which replays the file system's journal.
        run("umount", self.disk)
        run("mount", "-o", "loop", self.home / "image", self.disk)
        server.start()
        self.verify(self.mail, ledger)
        self.wait_for_reply(server, "250")
        print(f"{acknowledged(ledger)} messages; {closed[0].split(' text=')[1]} ", end="", flush=True)

    def test_a_disk_that_is_unmounted_under_it(self):
        server = self.begin("512M", EXT4)
        ledger, source = self.loaded(server, 2)
        run("umount", "--lazy", self.disk)
        self.wait_for_reply(server, "421 4.3.2")
        source.terminate()
        source.wait(PATIENCE)
        closed = logged(server, "spool-closed")
        self.assertEqual(len(closed), server.shards)
        server.kill()
        # Nothing was made anew in the empty place where the disk had been.
        self.assertEqual(os.listdir(self.disk), [])
        wait_until(lambda: not run("losetup", "--associated", self.home / "image"), "a free loop device")
        run("mount", "-o", "loop", self.home / "image", self.disk)
        server.start()
        self.verify(self.mail, ledger)
        self.wait_for_reply(server, "250")
        print(f"{acknowledged(ledger)} messages; {closed[0].split(' text=')[1]} ", end="", flush=True)


class OwnerTest(Machine):
    """A server that is not root's, and directories that turn out not to be its own."""

    NOBODY = 65534

    def begin(self):
        self.disk = self.home / "disk"
        self.disk.mkdir()
        self.home.chmod(0o755)
        self.mail = mailbox(self.disk / "mail")
        server = self.serve(
            self.disk / "spool", self.disk / "mail", own="<delivery><retry>1s</retry></delivery>", user=self.NOBODY
        )
        for directory in (self.disk, server.home):
            run("chown", "-R", self.NOBODY, directory)
        return server

    def taken_away(self, directory):
        os.chown(directory, 0, 0)
        directory.chmod(0o700)

    def given_back(self, directory):
        os.chown(directory, self.NOBODY, self.NOBODY)

    def test_a_spool_of_another_owner_is_named_at_the_start(self):
        server = self.begin()
        (self.disk / "spool").mkdir()
        self.taken_away(self.disk / "spool")
        with self.assertRaisesRegex(AssertionError, "it ended with 78"):
            server.start()
        said = server.log()
        self.assertIn(str(self.disk / "spool"), said)
        self.assertIn("ermission denied", said)
        self.given_back(self.disk / "spool")
        server.process.stdout.close()
        server.start()

    def test_a_spool_that_gets_another_owner_goes_on_with_what_is_open(self):
        server = self.begin()
        server.start()
        server.wait_until_prepared()
        self.taken_away(self.disk / "spool" / "shard-0")
        ledger = self.ledger()
        source = self.source(server, ledger, ["--size", "50000"])
        # Until there is more than what is open holds.
        wait_until(lambda: len(logged(server, "accepted")) > 1000 or logged(server, "spool-(full|closed)"), "a lot of mail")
        server.kill()
        source.wait(PATIENCE)
        self.given_back(self.disk / "spool" / "shard-0")
        server.start()
        self.verify(self.mail, ledger)
        said = logged(server, "spool-(?:full|closed)")
        print(f"{acknowledged(ledger)} messages; {said[0].split(' text=')[1] if said else 'nothing to say'} ", end="")

    def test_mailboxes_of_another_owner_put_deliveries_off(self):
        server = self.begin()
        (self.disk / "mail").mkdir()
        self.taken_away(self.disk / "mail")
        server.start()
        with Client(server.smtp) as client:
            client.envelope()
            client.data(b"Subject: x\r\n\r\n").message_id()
        wait_until(lambda: logged(server, "deferred"), "a deferred message")
        self.assertIn("ermission denied", logged(server, "deferred")[0])
        self.given_back(self.disk / "mail")
        wait_until(lambda: logged(server, "delivered"), "the message")
