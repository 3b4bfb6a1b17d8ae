-- Whoever drove these runs before writes nothing any more.
UPDATE run SET epoch = epoch + 1 WHERE uuid = ANY ($1::text[]) AND live RETURNING uuid, epoch, epoch > woken + 1
