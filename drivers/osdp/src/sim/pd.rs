//! One simulated reader: the library's peripheral device, with the memory and the habits of a real one around it.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use libosdp::{
    Channel, ChannelError, OsdpCommand, OsdpEvent, OsdpFlag, PdCapEntity, PdCapability, PdId, PdInfoBuilder,
    PeripheralDevice,
};

use super::{Model, lock};
use crate::frame::{Finder, Found, Frame, MOST, code};

/// Events that a reader holds until somebody asks for them.
const MOST_WAITING: usize = 64;

/// One reader.
pub(super) struct Pd {
    unit: u8,
    pub(super) device: PeripheralDevice,
    ports: Arc<Mutex<Ports>>,
    pub(super) off: bool,
    waiting: VecDeque<OsdpEvent>,
    /// What it tells now, and whether it was said: it is kept until the next command shows that it was heard.
    telling: Option<(OsdpEvent, bool)>,
    heard: Finder,
    raw: Vec<u8>,
    /// The command before, and what was said to it.
    last: Option<(Frame, Vec<u8>)>,
}

#[derive(Default)]
struct Ports {
    heard: VecDeque<u8>,
    said: Vec<u8>,
}

/// A reader's ends, as the library sees them.
struct Tap {
    unit: u8,
    ports: Arc<Mutex<Ports>>,
}

impl Channel for Tap {
    fn get_id(&self) -> i32 {
        self.unit.into()
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize, ChannelError> {
        let mut ports = lock(&self.ports);
        let count = room.len().min(ports.heard.len());
        for (to, from) in room.iter_mut().zip(ports.heard.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, ChannelError> {
        lock(&self.ports).said.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ChannelError> {
        lock(&self.ports).heard.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ChannelError> {
        Ok(())
    }
}

impl Pd {
    pub(super) fn new(model: &Model, commands: Arc<Mutex<Vec<(u8, String)>>>) -> io::Result<Self> {
        let wrong = |_| io::Error::other("the library refused a simulated reader");
        let ports = Arc::<Mutex<Ports>>::default();
        let item = |compliance, items| PdCapEntity::new(compliance, items);
        let mut info = PdInfoBuilder::new()
            .name(&format!("sim-{}", model.unit))
            .and_then(|info| info.address(model.unit.into()))
            .and_then(|info| info.baud_rate(115_200))
            .map_err(wrong)?
            .id(&PdId::from_number(model.unit))
            .capability(PdCapability::ContactStatusMonitoring(item(1, 1)))
            .capability(PdCapability::OutputControl(item(1, 2)))
            .capability(PdCapability::CardDataFormat(item(1, 0)))
            .capability(PdCapability::LedControl(item(1, 1)))
            .capability(PdCapability::AudibleOutput(item(1, 1)))
            .capability(PdCapability::CommunicationSecurity(item(u8::from(model.key.is_some() || model.install), 1)));
        if let Some(key) = model.key {
            info = info.secure_channel_key(key);
        }
        info = match (model.install, model.key) {
            (true, _) => info.flag(OsdpFlag::InstallMode),
            (false, Some(_)) => info.flag(OsdpFlag::EnforceSecure),
            (false, None) => info,
        };
        let tap = Tap { unit: model.unit, ports: ports.clone() };
        let mut device = PeripheralDevice::new(info, Box::new(tap)).map_err(wrong)?;
        let unit = model.unit;
        device.set_command_callback(move |command| {
            let name = match command {
                OsdpCommand::Output(it) => format!("output {} {}", it.output_no, it.timer_count),
                OsdpCommand::Led(it) => format!("led {:?}", it.temporary.on_color),
                OsdpCommand::Buzzer(it) => format!("buzzer {}", it.rep_count),
                OsdpCommand::KeySet(_) => "key".into(),
                OsdpCommand::Status(_) => return 0,
                _ => "other".into(),
            };
            lock(&commands).push((unit, name));
            0
        });
        Ok(Self {
            unit,
            device,
            ports,
            off: false,
            waiting: VecDeque::new(),
            telling: None,
            heard: Finder::default(),
            raw: Vec::new(),
            last: None,
        })
    }

    /// Something happens at it. What does not fit into its memory is gone.
    pub(super) fn tell(&mut self, event: OsdpEvent) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(event);
        }
    }

    /// Hears what is on the bus, and says its part.
    pub(super) fn step(&mut self, heard: &[u8]) -> Vec<u8> {
        if self.off {
            return Vec::new();
        }
        self.heard.feed(heard);
        self.raw.extend(heard);
        while let Some(found) = self.heard.next_frame() {
            let Found::Frame(frame) = found else { continue };
            let raw = std::mem::take(&mut self.raw);
            if frame.reply || frame.address != self.unit {
                continue;
            }
            match &self.last {
                // Its answer got lost. The standard wants it said again; the library would say something new, and what it
                // told before were gone.
                Some((last, said)) if *last == frame && frame.sequence != 0 => return said.clone(),
                _ => {
                    if let Some((event, true)) = self.telling.take_if(|(_, said)| *said)
                        && frame.sequence == 0
                    {
                        self.waiting.push_front(event);
                    }
                    self.last = Some((frame, Vec::new()));
                    lock(&self.ports).heard.extend(raw);
                }
            }
        }
        if self.raw.len() > MOST {
            self.raw.clear();
        }
        if self.telling.is_none()
            && self.device.is_online()
            && let Some(event) = self.waiting.front()
            && self.device.notify_event(event.clone()).is_ok()
        {
            self.telling = self.waiting.pop_front().map(|event| (event, false));
        }
        self.device.refresh();
        let said = std::mem::take(&mut lock(&self.ports).said);
        let mut finder = Finder::default();
        finder.feed(&said);
        if let Some(Found::Frame(frame)) = finder.next_frame()
            && matches!(frame.code, code::LSTATR | code::RAW | code::KEYPAD)
            && let Some((_, told)) = &mut self.telling
        {
            *told = true;
        }
        if let Some((_, last)) = &mut self.last {
            last.extend(&said);
        }
        said
    }
}
