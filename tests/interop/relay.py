"""A ringpost that passes mail on: a home whose pipeline ends at other hosts."""

import unittest

from server import Ringpost, wait_until
from wire import Client

# Whoever is on this machine may send anywhere; what is of this host is still checked.
SMTP = "<authorizedAddresses>127.0.0.0/8</authorizedAddresses>"

# What James has for senders who ask for reports (DSN).
HOOKS = "".join(
    f'<handler class="org.apache.james.smtpserver.dsn.{name}"/>'
    for name in ("DSNEhloHook", "DSNMailParameterHook", "DSNRcptParameterHook", "DSNMessageHook")
)

PIPELINE = """
<mailetcontainer>
  <context><postmaster>postmaster@localhost</postmaster></context>
  <spooler><threads>20</threads><errorRepository>file://var/mail/error/</errorRepository></spooler>
  <processors>
    <processor state="root">
      <mailet match="RecipientIsLocal" class="ToProcessor"><processor>local</processor></mailet>
      {before}
      {onward}
    </processor>
    <processor state="local">
      <mailet match="All" class="Sieve"/>
      <mailet match="All" class="LocalDelivery"/>
    </processor>
    <processor state="bounces">
      <mailet match="All" class="DSNBounce"><passThrough>false</passThrough></mailet>
    </processor>
    <processor state="error">
      <mailet match="All" class="ToRepository"><repositoryPath>file://var/mail/error/</repositoryPath></mailet>
    </processor>
  </processors>
</mailetcontainer>
"""

STORE = """
<mailrepositorystore>
  <defaultProtocol>file</defaultProtocol>
  <mailrepositories>
    <mailrepository class="org.apache.james.mailrepository.file.FileMailRepository">
      <protocols><protocol>file</protocol></protocols>
    </mailrepository>
  </mailrepositories>
</mailrepositorystore>
"""


def remote(more="", delays="200 ms, 500 ms, 50*1 second", retries=50, bounces="<bounceProcessor>bounces</bounceProcessor>"):
    """An element for RemoteDelivery; what fails is tried again soon, and is given up late."""
    return f"""<mailet match="All" class="RemoteDelivery"><outgoing>outgoing</outgoing><delayTime>{delays}</delayTime>
      <maxRetries>{retries}</maxRetries>{bounces}{more}</mailet>"""


def gateway(peer, more="", **others):
    """An element for RemoteDelivery to one peer."""
    return remote(f"<gateway>127.0.0.1</gateway><gatewayPort>{peer.port}</gatewayPort>{more}", **others)


def lmtp(place):
    """An element for LmtpDelivery."""
    return f'<mailet match="All" class="LmtpDelivery">{place}<delayTime>200 ms, 50*1 second</delayTime></mailet>'


class RelayTest(unittest.TestCase):
    """A test with peers and a ringpost between them; all of them end with it."""

    def peer(self, peer):
        """Starts a peer."""
        self.addCleanup(peer.remove)
        return peer.start()

    def relay(self, onward, before="", dns="", own="", start=True, files=None):
        """A ringpost whose mail for others goes through these elements; `files` are put beside its configuration."""

        def prepare(conf):
            (conf / "mailetcontainer.xml").write_text(PIPELINE.format(onward=onward, before=before))
            (conf / "mailrepositorystore.xml").write_text(STORE)
            servers = (conf / "smtpserver.xml").read_text()
            (conf / "smtpserver.xml").write_text(servers.replace("</handlerchain>", HOOKS + "</handlerchain>"))
            for name, text in (files or {}).items():
                (conf / name).write_text(text)
            if dns:
                (conf / "dnsservice.xml").write_text(dns)

        server = Ringpost(SMTP, own, prepare=prepare)
        self.addCleanup(server.remove)
        if start:
            server.start()
        return server

    def send(self, server, content, recipients, sender="you@localhost", parameters=""):
        """Sends a mail to several recipients; the reply to it."""
        with Client(server.smtp) as client:
            client.command(f"MAIL FROM:<{sender}>{parameters}", 250)
            for recipient in recipients:
                client.command(f"RCPT TO:<{recipient}>", 250)
            reply = client.data(content)
            self.assertEqual(reply.code, 250, reply)
            return reply

    def wait_until_empty(self, server):
        """Waits until nothing is left in its spool."""
        wait_until(lambda: server.run("queue", "list") == "No mail waits.\n", "an empty spool")
