"""A storm of wrong passwords from several addresses while honest mail goes on through the same shards.

All honest mail arrives and no wrong password is believed; while the storm lasts a user comes in from where it always comes, and
from where nobody guesses. How fast the mail was with and without the storm is printed, and not judged: that is the machine's.
"""

import base64
import collections
import smtplib
import threading
import time

from server import SENDER, USERS, ServedTest

PASSWORD = "correct horse"
USUAL, FRESH = "127.0.1.1", "127.0.1.2"

# Wrong passwords, and the addresses and threads that they come from.
WRONG, ADDRESSES, GUESSERS = 10_000, 50, 20

# Messages whose pace is measured before the storm.
QUIET = 300

MESSAGE = b"From: sender@example.org\r\nSubject: honest\r\n\r\n" + b"text\r\n" * 100


class PasswordsTest(ServedTest):
    smtp = "<auth><announce>always</announce><requireSSL>false</requireSSL></auth>"
    own = "<limits><authFailureDelay>0s</authFailureDelay></limits>"
    passwords = {USERS[0]: PASSWORD}

    def test_a_storm_of_wrong_passwords_stops_no_mail_and_lets_nobody_in(self):
        self.assertEqual(self.login(USUAL)[0], 235)
        quiet, seconds = self.send_while(lambda sent: sent < QUIET)

        answers, guesses = collections.Counter(), iter(range(WRONG))
        lock = threading.Lock()
        guessers = [threading.Thread(target=self.guess, args=(guesses, answers, lock)) for _ in range(GUESSERS)]
        for guesser in guessers:
            guesser.start()
        stormy, stormy_seconds = self.send_while(lambda _: any(guesser.is_alive() for guesser in guessers))
        for guesser in guessers:
            guesser.join()

        print(
            f"\nhonest mail  {quiet / seconds:.0f}/s without, {stormy / stormy_seconds:.0f}/s with {WRONG} wrong passwords"
            f" in {stormy_seconds:.0f} s: {dict(sorted(answers.items()))} ",
            end="",
            flush=True,
        )
        self.assertEqual(sum(answers.values()), WRONG)
        self.assertLessEqual(set(answers), {421, 454, 535}, "wrong passwords are refused in every case")
        self.assertGreater(answers[454], answers[535], "most of them are not looked at")
        self.server.wait_for(quiet + stormy)
        self.assertEqual(self.login(USUAL)[0], 235, "from where the user always comes")
        self.assertEqual(self.login(FRESH)[0], 235, "from where nobody guesses")
        self.assertEqual(self.login("127.0.0.1")[0], 454, "from where somebody guesses")

    def send_while(self, go_on):
        """Sends messages, one after the other; how many, and in how many seconds."""
        sent, begun = 0, time.monotonic()
        with smtplib.SMTP(*self.server.smtp, local_hostname="client.example.org", source_address=("127.0.2.1", 0)) as session:
            while go_on(sent):
                self.assertEqual(session.sendmail(SENDER, USERS[0], MESSAGE), {})
                sent += 1
        return sent, time.monotonic() - begun

    def guess(self, guesses, answers, lock):
        """Guesses until nothing is left to guess, over as many connections as that takes."""
        session = None
        while True:
            with lock:
                number = next(guesses, None)
            if number is None:
                break
            user = USERS[0] if number % 2 else f"nobody{number}@localhost"
            code = None
            while code is None:
                try:
                    session = session or self.dial(f"127.0.0.{1 + number % ADDRESSES}")
                    code = authenticate(session, user, f"wrong {number}")[0]
                except (smtplib.SMTPException, OSError):
                    session = None
            with lock:
                answers[code] += 1
            if code == 421:
                session.close()
                session = None
        if session:
            session.close()

    def login(self, source):
        with self.dial(source) as session:
            return authenticate(session, USERS[0], PASSWORD)

    def dial(self, source):
        session = smtplib.SMTP(*self.server.smtp, local_hostname="client.example.org", source_address=(source, 0))
        session.ehlo()
        return session


def authenticate(session, user, password):
    response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return session.docmd("AUTH", f"PLAIN {response}")
