//! What a board is asked, and what its answers mean.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use driver_api::DriverError;
use jiff::civil::{Date, DateTime};

use crate::{
    bcd,
    event::{Event, Kind, Status},
    packet::{MAGIC, Packet, function},
    transport::{ATTEMPTS, Wire},
};

/// Who a board says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    pub serial: u32,
    pub address: Ipv4Addr,
    /// `00:66:19:39:55:2d`
    pub mac: String,
    /// `6.62`
    pub version: String,
    /// When that firmware was released.
    pub released: Option<Date>,
}

impl Controller {
    pub fn of(packet: &Packet) -> Self {
        let mac: [u8; 6] = packet.bytes(20);
        Self {
            serial: packet.serial(),
            address: Ipv4Addr::from(packet.bytes::<4>(8)),
            mac: mac.map(|byte| format!("{byte:02x}")).join(":"),
            version: format!("{:x}.{:02x}", packet.byte(26), packet.byte(27)),
            released: bcd::date(packet.bytes(28)),
        }
    }

    /// The model, as far as the serial number gives it away: its first digit is the number of doors.
    pub fn model(&self) -> String {
        match self.serial / 100_000_000 {
            doors @ (1 | 2 | 4) => format!("UT0311-L0{doors}"),
            _ => String::new(),
        }
    }
}

/// A board with the way to it.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) wire: Wire,
    pub(crate) serial: u32,
    /// The event that was asked for last was not there.
    missed: bool,
}

impl Board {
    pub(crate) fn new(wire: Wire, serial: u32) -> Self {
        Self { wire, serial, missed: false }
    }

    fn question(&self, function: u8) -> Packet {
        Packet::new(function, self.serial)
    }

    async fn ask(&mut self, question: Packet) -> Result<Packet, DriverError> {
        self.wire.ask(&question, ATTEMPTS).await
    }

    pub(crate) async fn controller(&mut self) -> Result<Controller, DriverError> {
        Ok(Controller::of(&self.ask(self.question(function::CONTROLLER)).await?))
    }

    /// Who is there at all, whatever its serial number.
    pub(crate) async fn anybody(&mut self) -> Option<Controller> {
        let answer = self.wire.ask(&Packet::new(function::CONTROLLER, 0), 1).await;
        answer.ok().map(|answer| Controller::of(&answer))
    }

    pub(crate) async fn status(&mut self) -> Result<Status, DriverError> {
        Ok(Status::of(&self.ask(self.question(function::STATUS)).await?))
    }

    /// The event of this index; nothing when it is not there any more, or not yet. Boards say that by an event without index,
    /// by one that is marked as overwritten, or by the newest event in its place.
    pub(crate) async fn event(&mut self, index: u32) -> Result<Option<Event>, DriverError> {
        let question = self.question(function::EVENT).with(8, &index.to_le_bytes());
        let answer = match self.missed {
            // One that is not there seldom comes alone, and its answer names nothing.
            true => self.wire.ask(&question, ATTEMPTS).await?,
            false => self.wire.ask_for(&question, |answer| answer.u32(8) == index).await?,
        };
        let found = Some(Event::of(&answer))
            .filter(|event| event.index == index && !matches!(event.kind, Kind::Overwritten | Kind::None));
        self.missed = found.is_none();
        Ok(found)
    }

    /// The index of the oldest event, proved by the one before it, which must be gone; nothing when there is none. To begin
    /// with a later one would pass over all that lies before.
    pub(crate) async fn oldest(&mut self) -> Result<Option<u32>, DriverError> {
        let told = Event::of(&self.ask(self.question(function::EVENT)).await?).index;
        if told <= 1 || self.event(told - 1).await?.is_none() {
            return Ok(Some(told).filter(|index| *index != 0));
        }
        // It is none of the oldest. Between one that is gone and one that is there lies the first that is there.
        let (mut gone, mut there) = (0, told - 1);
        while there - gone > 1 {
            let middle = gone + (there - gone) / 2;
            match self.event(middle).await? {
                Some(_) => there = middle,
                None => gone = middle,
            }
        }
        Ok(Some(there))
    }

    /// The index that the board keeps for whoever reads it.
    pub(crate) async fn index(&mut self) -> Result<u32, DriverError> {
        Ok(self.ask(self.question(function::GET_INDEX)).await?.u32(8))
    }

    pub(crate) async fn set_index(&mut self, index: u32) -> Result<(), DriverError> {
        let question = self.question(function::SET_INDEX).with(8, &index.to_le_bytes()).with(12, &MAGIC);
        // It says false when it stood there already, too: nothing depends on it.
        self.ask(question).await.map(drop)
    }

    /// Where it sends its live events.
    pub(crate) async fn listener(&mut self) -> Result<SocketAddrV4, DriverError> {
        let answer = self.ask(self.question(function::GET_LISTENER)).await?;
        Ok(SocketAddrV4::new(Ipv4Addr::from(answer.bytes::<4>(8)), answer.u16(12)))
    }

    /// Whether it took it.
    pub(crate) async fn set_listener(&mut self, to: SocketAddrV4) -> Result<bool, DriverError> {
        let question =
            self.question(function::SET_LISTENER).with(8, &to.ip().octets()).with(12, &to.port().to_le_bytes());
        Ok(self.ask(question).await?.byte(8) != 0)
    }

    /// Sets its clock; whether it says that it did.
    pub(crate) async fn set_time(&mut self, local: DateTime) -> Result<bool, DriverError> {
        let time = bcd::encode(local);
        let answer = self.wire.ask(&self.question(function::SET_TIME).with(8, &time), 1).await?;
        Ok(answer.bytes::<7>(8) == time)
    }

    /// For how many seconds this door opens.
    pub(crate) async fn door_delay(&mut self, door: u8) -> Result<u8, DriverError> {
        let question = self.question(function::GET_DOOR).with(8, &[door]);
        Ok(self.wire.ask_for(&question, |answer| answer.byte(8) == door).await?.byte(10))
    }

    /// Opens a door, asked once; whether it did.
    pub(crate) async fn open_door(&mut self, door: u8) -> Result<bool, DriverError> {
        let question = self.question(function::OPEN_DOOR).with(8, &[door]);
        Ok(self.wire.ask(&question, 1).await?.byte(8) != 0)
    }

    /// How many cards it knows.
    pub(crate) async fn cards(&mut self) -> Result<u32, DriverError> {
        Ok(self.ask(self.question(function::CARDS)).await?.u32(8))
    }

    /// The card at this place, from 1 on; nothing where there is none, or where one was deleted.
    pub(crate) async fn card(&mut self, place: u32) -> Result<Option<u32>, DriverError> {
        let question = self.question(function::CARD).with(8, &place.to_le_bytes());
        let card = self.ask(question).await?.u32(8);
        Ok(Some(card).filter(|card| !matches!(*card, 0 | u32::MAX)))
    }

    pub(crate) fn target(&self) -> SocketAddr {
        self.wire.target()
    }
}
