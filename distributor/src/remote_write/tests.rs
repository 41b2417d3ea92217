mod hostile;
mod v1;
mod v2;
