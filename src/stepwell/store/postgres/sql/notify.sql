SELECT pg_notify('stepwell', payload) FROM unnest($1::text[]) AS payload
