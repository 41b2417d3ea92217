//! Checks of the architecture, not of taste: layers, generated code, documents that mirror code.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod layers;
