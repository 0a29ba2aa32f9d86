edge() { curl --silent --show-error --cacert "$EDGE_CA" "$@"; echo; }
token() { edge --user "$CLIENT_ID:$CLIENT_SECRET" "$@" "$EDGE_URL/oauth2/token" | sed -E 's/.*"access_token":"([^"]+)".*/\1/'; }
json='Content-Type: application/json'

# 1. A token by face, then the door. A fresh picture for each try: make face
TOKEN=$(printf '{"grant_type":"client_credentials","face_model":"%s","face_vector":%s}' "$FACE_MODEL" "$(cat "$FACE_FILE")" | token --header "$json" --data-binary @-)
edge --request POST --header "Authorization: Bearer $TOKEN" "$EDGE_URL/v1/doors/$DOOR_ID/open"

# 2. A token of the client alone, then the door with the face in the call: make face
TOKEN=$(token --data grant_type=client_credentials)
printf '{"face":{"model":"%s","vector":%s}}' "$FACE_MODEL" "$(cat "$FACE_FILE")" | edge --header "Authorization: Bearer $TOKEN" --header "$json" --data-binary @- "$EDGE_URL/v1/doors/$DOOR_ID/open"

# 3. A token by plate, then the barrier
TOKEN=$(token --data grant_type=client_credentials --data-urlencode "plate=$PLATE")
edge --request POST --header "Authorization: Bearer $TOKEN" "$EDGE_URL/v1/barriers/$BARRIER_ID/open"

# 4. A token of the client alone, then the barrier with the plate in the call
TOKEN=$(token --data grant_type=client_credentials)
printf '{"plate":{"number":"%s"}}' "$PLATE" | edge --header "Authorization: Bearer $TOKEN" --header "$json" --data-binary @- "$EDGE_URL/v1/barriers/$BARRIER_ID/open"

# 5. A key opened a door without us
printf '{"key_id":"%s","device_id":"%s","opened_at":"%s"}' "$KEY_ID" "$DOOR_ID" "$(date -u +%FT%TZ)" | edge --header "Authorization: Bearer $TOKEN" --header "$json" --data-binary @- "$EDGE_URL/v1/webhooks/intercom/key-openings"

# 6. A fob opened a barrier without us
printf '{"fob_id":"%s","device_id":"%s","opened_at":"%s"}' "$FOB_ID" "$BARRIER_ID" "$(date -u +%FT%TZ)" | edge --header "Authorization: Bearer $TOKEN" --header "$json" --data-binary @- "$EDGE_URL/v1/webhooks/barrier/fob-openings"
