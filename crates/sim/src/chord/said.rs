//! What hosts say to each other: Chord's messages, and their own.

use quorate_chord::{Id, Message, Peer};
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

/// What is in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Between the cores.
    Chord(Message),
    /// These keys are yours. Whoever says so keeps them until it hears [`Said::Took`].
    Keys {
        /// Of the sender, so that the answer fits.
        number: u64,
        /// The keys.
        keys: Vec<u64>,
    },
    /// I hold them.
    Took {
        /// What is answered.
        number: u64,
    },
    /// Who is responsible for my place?
    Where {
        /// The place.
        id: Id,
    },
    /// This one.
    There {
        /// The place asked for.
        id: Id,
        /// Who is responsible, as far as the asked one's ring goes.
        owner: Peer,
    },
}

impl Encode for Said {
    fn encode(&self, out: &mut Writer) {
        match self {
            Said::Chord(message) => {
                out.u8(0);
                message.encode(out);
            }
            Said::Keys { number, keys } => {
                out.u8(1);
                out.u64(*number);
                out.u32(keys.len() as u32);
                keys.iter().for_each(|key| out.u64(*key));
            }
            Said::Took { number } => {
                out.u8(2);
                out.u64(*number);
            }
            Said::Where { id } => {
                out.u8(3);
                out.u64(id.0);
            }
            Said::There { id, owner } => {
                out.u8(4);
                out.u64(id.0);
                owner.encode(out);
            }
        }
    }
}

impl Decode for Said {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            0 => Said::Chord(Message::decode(input)?),
            1 => {
                let (number, count) = (input.u64()?, input.u32()?);
                if count as usize > input.remaining() / 8 {
                    return Err(Malformed("keys"));
                }
                let keys = (0..count).map(|_| input.u64()).collect::<Result<_, _>>()?;
                Said::Keys { number, keys }
            }
            2 => Said::Took { number: input.u64()? },
            3 => Said::Where { id: Id(input.u64()?) },
            4 => Said::There { id: Id(input.u64()?), owner: Peer::decode(input)? },
            _ => return Err(Malformed("what a host says")),
        })
    }
}
