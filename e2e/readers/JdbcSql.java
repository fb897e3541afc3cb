import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Asks a Flight SQL server the same as adbc_sql.py by its JDBC driver. */
class JdbcSql {
    static Connection connect(String token) throws SQLException {
        String address = System.getenv("FIRTH_FLIGHT").replace("grpc://", "");
        return DriverManager.getConnection("jdbc:arrow-flight-sql://" + address + "/?useEncryption=false&token=" + token);
    }

    /** Columns by table, as BI tools look for them. */
    static Map<String, List<String>> listed(Connection con) throws SQLException {
        Map<String, List<String>> out = new TreeMap<>();
        try (ResultSet tables = con.getMetaData().getTables(null, null, "%", new String[] {"TABLE"})) {
            while (tables.next()) {
                String schema = tables.getString("TABLE_SCHEM"), table = tables.getString("TABLE_NAME");
                List<String> columns = new ArrayList<>();
                try (ResultSet found = con.getMetaData().getColumns(null, schema, table, "%")) {
                    while (found.next()) {
                        columns.add(quoted(found.getString("COLUMN_NAME")));
                    }
                }
                out.put(tables.getString("TABLE_CAT") + "." + schema + "." + table, columns);
            }
        }
        return out;
    }

    /** Not by getObject, which driver 18.3.0 does not have for timestamptz. */
    static List<List<String>> cells(ResultSet rows) throws SQLException {
        List<List<String>> out = new ArrayList<>();
        while (rows.next()) {
            List<String> row = new ArrayList<>();
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                row.add(quoted(String.valueOf(rows.getString(i))));
            }
            out.add(row);
        }
        rows.close();
        return out;
    }

    interface Act {
        void run() throws SQLException;
    }

    static String refusal(Act act) {
        try {
            act.run();
        } catch (SQLException e) {
            StringBuilder said = new StringBuilder();
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                said.append(cause.getMessage()).append("; ");
            }
            return said.toString();
        }
        return "done";
    }

    static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }

    public static void main(String[] args) throws SQLException {
        String table = System.getenv("FIRTH_TABLE"), token = refusal(() -> {
            try (Connection con = connect("guessed"); Statement statement = con.createStatement()) {
                statement.executeQuery("SELECT 1");
            }
        });
        try (Connection con = connect(System.getenv("FIRTH_TOKEN")); Statement statement = con.createStatement()) {
            String columns = listed(con).entrySet().stream()
                    .map(e -> quoted(e.getKey()) + ": " + e.getValue()).collect(Collectors.joining(", "));
            List<List<String>> rows = cells(statement.executeQuery("SELECT _kafka_partition, count(*), "
                    + "CAST(sum(user_id) AS BIGINT) FROM " + table + " GROUP BY ALL ORDER BY ALL"));
            List<List<String>> prepared = new ArrayList<>();
            try (PreparedStatement counting = con.prepareStatement(
                    "SELECT count(*) FROM " + table + " WHERE _kafka_partition = ?")) {
                for (int partition = 0; partition < 2; partition++) {
                    counting.setInt(1, partition);
                    prepared.addAll(cells(counting.executeQuery()));
                }
            }
            int whole = cells(statement.executeQuery("SELECT * FROM " + table + " LIMIT 3")).size();
            String drop = refusal(() -> statement.execute("DROP TABLE " + table));
            System.out.printf("{\"columns\": {%s}, \"rows\": %s, \"prepared\": %s, \"whole\": %d, "
                    + "\"refused\": {\"token\": %s, \"drop\": %s}}%n", columns, rows, prepared, whole, quoted(token),
                    quoted(drop));
        }
    }
}
