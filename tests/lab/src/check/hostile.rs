use super::{session::Session, Lab};
pub fn images(_: &Lab<'_>, _: &mut Session) -> anyhow::Result<String> {
    anyhow::bail!("not yet")
}
