//! A template as it is kept: rotated, 8 bits a component.

use zeroize::Zeroizing;

/// A rotated unit vector, scaled to fill -127 to 127 and rounded; its own
/// length is its scale. Cannot be printed; wiped when dropped.
///
/// ```compile_fail,E0277
/// # let code = face_index::Code::from_bytes(&[1; 512], 512).unwrap();
/// println!("{code:?}");
/// ```
#[derive(Clone)]
pub struct Code(Zeroizing<Vec<i8>>);

impl Code {
    pub(crate) fn of(rotated: &[f32]) -> Self {
        let most = rotated
            .iter()
            .fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
        let scale = 127.0 / most;
        let mut code = Zeroizing::new(Vec::with_capacity(rotated.len()));
        code.extend(rotated.iter().map(|value| (value * scale).round() as i8));
        Self(code)
    }

    /// None where the bytes are no code of a rotation of that many components.
    pub fn from_bytes(bytes: &[u8], components: usize) -> Option<Self> {
        let mut code = Zeroizing::new(Vec::with_capacity(components));
        code.extend(bytes.iter().map(|byte| byte.cast_signed()));
        let good = code.len() == components
            && code.iter().any(|value| *value != 0)
            && !code.contains(&i8::MIN);
        good.then_some(Self(code))
    }

    /// One byte a component, two's complement.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len()));
        bytes.extend(self.0.iter().map(|value| value.cast_unsigned()));
        bytes
    }

    pub(crate) fn components(&self) -> &[i8] {
        &self.0
    }
}
