//! The forms over glommio's executor: a task a connection, and one that writes.

use super::batch::{BATCH, Memory, Offsets};
use super::conversation::{Conversation, Shared, Step};
use super::{Form, Serving, Setup};
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use glommio::net;
use ringpost::control::watchdog::{Watchdog, Watched};
use ringpost::io::handover::Doorbell;
use ringpost::io::metal::{BoundListener, CoreSetup, GlommioMachine, Listener, RingFile, Sleeps, TcpStream};
use ringpost::io::vitals::Vitals;
use ringpost::io::wait::{Bell, Latch};
use ringpost::io::{Aligned, Class, Disk, File, Machine, Open, Stream};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Where records go.
trait Medium: Clone + 'static {
    type Buffer: Memory;

    /// Memory to write from.
    fn fresh(&self, octets: usize) -> Self::Buffer;

    /// Writes the front of a buffer; where `synced`, it is on stable storage then. The buffer, or one like it, comes back.
    async fn write(&self, buffer: Self::Buffer, octets: usize, offset: u64, synced: bool) -> io::Result<Self::Buffer>;
}

/// A file on ringpost's ring.
#[derive(Clone)]
struct OwnRing(RingFile);

impl Medium for OwnRing {
    type Buffer = Aligned;

    fn fresh(&self, octets: usize) -> Aligned {
        Aligned::zeroed(octets)
    }

    async fn write(&self, buffer: Aligned, octets: usize, offset: u64, synced: bool) -> io::Result<Aligned> {
        let (result, buffer) = match synced {
            true => self.0.write_synced(buffer, 0..octets, offset).await,
            false => self.0.write_at(buffer, 0..octets, offset).await,
        };
        result.map(|()| buffer)
    }
}

/// glommio's files. Their writes consume the buffer.
#[derive(Clone)]
struct Dma(Rc<DmaFile>, Arc<Vitals>);

impl Medium for Dma {
    type Buffer = DmaBuffer;

    fn fresh(&self, octets: usize) -> DmaBuffer {
        self.0.alloc_dma_buffer(octets)
    }

    async fn write(&self, mut buffer: DmaBuffer, octets: usize, offset: u64, synced: bool) -> io::Result<DmaBuffer> {
        let whole = buffer.len();
        // A batch begins empty; of a chunk the rest is carried on.
        let carried = if synced { Vec::new() } else { buffer.as_bytes()[octets..].to_vec() };
        buffer.trim_to_size(octets);
        self.1.begun();
        let written = self.0.write_at(buffer, offset).await;
        let end = if synced { self.0.fdatasync().await } else { Ok(()) };
        self.1.done();
        if written? != octets {
            return Err(io::ErrorKind::StorageFull.into());
        }
        end?;
        let mut next = self.fresh(whole);
        next.as_bytes_mut()[octets..octets + carried.len()].copy_from_slice(&carried);
        Ok(next)
    }
}

/// Where connections come from.
trait Door {
    type Line: Line;

    /// The next connection; [`io::ErrorKind::ConnectionAborted`] where it is gone already.
    async fn accept(&self) -> io::Result<Self::Line>;
}

/// A connection.
trait Line: 'static {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_send(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>>;
}

impl Door for Listener {
    type Line = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Listener::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Line for TcpStream {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(context, buffer)
    }

    fn poll_send(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(context, buffer)
    }
}

impl Door for net::TcpListener {
    type Line = net::TcpStream;

    async fn accept(&self) -> io::Result<net::TcpStream> {
        Ok(net::TcpListener::accept(self).await?)
    }
}

impl Line for net::TcpStream {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(self), context, buffer)
    }

    fn poll_send(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), context, buffer)
    }
}

/// The same listening socket as one of glommio's, which waits where ringpost's never does.
fn listener_of_glommio(listener: &BoundListener) -> io::Result<net::TcpListener> {
    // SAFETY: the descriptor is open as long as the listener is.
    let copy = unsafe { BorrowedFd::borrow_raw(listener.as_raw_fd()) }.try_clone_to_owned()?;
    let socket = socket2::Socket::from(copy);
    socket.set_nonblocking(false)?;
    // SAFETY: the descriptor is given away to the listener alone.
    Ok(unsafe { net::TcpListener::from_raw_fd(socket.into_raw_fd()) })
}

/// What the tasks share.
struct Core<D: Medium> {
    medium: D,
    shared: RefCell<Shared<D::Buffer>>,
    offsets: RefCell<Offsets>,
    /// Set when what gathers now is on stable storage.
    ending: RefCell<Latch<()>>,
    gathered: Bell,
    left: Bell,
    vitals: Arc<Vitals>,
}

/// Serves with glommio's sockets and files, or with ringpost's ring for one of both, or for both.
pub(super) fn start(setup: Setup, form: Form) -> io::Result<Serving> {
    let listener = BoundListener::bind(setup.bind, BACKLOG, None)?;
    let address = listener.local_address()?;
    let vitals = Arc::new(Vitals::default());
    let core = CoreSetup {
        name: "leanest".into(),
        cpu: setup.cpu,
        delivery_share: 1,
        doorbell: Arc::new(Doorbell::new(false)?),
        vitals: vitals.clone(),
        free_octets: Arc::default(),
        // What is glommio's own comes only to its own rings.
        sleeps: if form == Form::Executor { Sleeps::InOwnRing } else { Sleeps::InExecutor },
    };
    let (fail, failed) = channel();
    let fail_of_work = fail.clone();
    let thread = GlommioMachine::start(core, move |machine| async move {
        let served = serve_form(machine, listener, &setup, form).await;
        // Whoever waits for it may have gone.
        let _ = fail_of_work.send(served.err().unwrap_or_else(|| io::Error::other("it has ended")));
    })?;
    // What ringpost needs against glommio's hang is needed here too.
    let watchdog = Watchdog::start(vec![Watched::new(vitals, &thread)], |_| {})?;
    std::thread::spawn(move || {
        let ended = thread.join();
        watchdog.stop();
        if !matches!(ended, Ok(Ok(()))) {
            let _ = fail.send(io::Error::other(format!("the core ended: {ended:?}")));
        }
    });
    Ok(Serving { address, failed })
}

async fn serve_form(machine: GlommioMachine, listener: BoundListener, setup: &Setup, form: Form) -> io::Result<()> {
    if form == Form::Glommio {
        let file = OpenOptions::new().write(true).dma_open(&setup.file).await?;
        let medium = Dma(Rc::new(file), machine.vitals().clone());
        return serve(machine, listener_of_glommio(&listener)?, setup, medium).await;
    }
    let medium = OwnRing(machine.disk().open(&setup.file, Open::Direct).await?);
    if form == Form::Mixed {
        return serve(machine, listener_of_glommio(&listener)?, setup, medium).await;
    }
    let listener = listener.into_listener(&machine);
    serve(machine, listener, setup, medium).await
}

async fn serve<D: Medium>(machine: GlommioMachine, listener: impl Door, setup: &Setup, medium: D) -> io::Result<()> {
    let maker = medium.clone();
    let core = Rc::new(Core {
        shared: RefCell::new(Shared::new(move |octets| maker.fresh(octets))),
        medium,
        offsets: RefCell::new(Offsets::new(setup.octets)),
        ending: RefCell::default(),
        gathered: Bell::default(),
        left: Bell::default(),
        vitals: machine.vitals().clone(),
    });
    let writer = core.clone();
    machine.spawn_vital(Class::Intake, async move {
        if let Err(error) = writer.write_batches().await {
            panic!("nothing more can be written: {error}");
        }
    });
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let core = core.clone();
                machine.spawn(Class::Intake, async move {
                    core.vitals.connected();
                    // A connection that is lost is no more to be served.
                    let _ = core.converse(stream).await;
                    core.vitals.disconnected();
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

impl<D: Medium> Core<D> {
    /// Writes batch after batch, for ever.
    async fn write_batches(&self) -> io::Result<()> {
        let mut spare = Some(self.medium.fresh(BATCH));
        loop {
            if self.shared.borrow().batch.is_empty() {
                self.gathered.heard().await;
                continue;
            }
            let next = spare.take().unwrap_or_else(|| self.medium.fresh(BATCH));
            let (buffer, octets) = self.shared.borrow_mut().batch.leave(next);
            let ending = self.ending.take();
            self.left.ring();
            let offset = self.offsets.borrow_mut().take(octets);
            spare = Some(self.medium.write(buffer, octets, offset, true).await?);
            ending.set(());
        }
    }

    async fn converse(&self, mut stream: impl Line) -> io::Result<()> {
        let mut conversation = Conversation::default();
        loop {
            let step = conversation.step(&mut self.shared.borrow_mut());
            match step {
                Step::Receive => {
                    send(&mut stream, &mut conversation.replies).await?;
                    let octets = poll_fn(|context| stream.poll_receive(context, conversation.room())).await?;
                    if octets == 0 {
                        return Ok(());
                    }
                    self.vitals.progressed();
                    conversation.received(octets);
                }
                Step::WriteChunk(octets) => {
                    let Some(chunk) = conversation.take_chunk() else { return Ok(()) };
                    let offset = self.offsets.borrow_mut().take(octets);
                    let chunk = self.medium.write(chunk, octets, offset, false).await?;
                    conversation.chunk_written(chunk, &mut self.shared.borrow_mut());
                }
                Step::Commit => {
                    let ending = self.ending.borrow().clone();
                    self.gathered.ring();
                    ending.get().await;
                    conversation.committed();
                }
                Step::Full => self.left.heard().await,
                Step::Close => return send(&mut stream, &mut conversation.replies).await,
            }
        }
    }
}

async fn send(stream: &mut impl Line, replies: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    while sent < replies.len() {
        sent += poll_fn(|context| stream.poll_send(context, &replies[sent..])).await?;
    }
    replies.clear();
    Ok(())
}
