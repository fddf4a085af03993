import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.time.LocalDateTime;
import java.util.Scanner;
import java.util.StringJoiner;
import java.util.TreeMap;

/** Reads the queries of its input, one a line; prints of each how many rows, sums and latest times. */
public class ReadAll {
    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0]);
                Scanner queries = new Scanner(System.in)) {
            while (queries.hasNextLine()) {
                print(connection.createStatement().executeQuery(queries.nextLine()));
            }
        }
    }

    private static void print(ResultSet rows) throws Exception {
        ResultSetMetaData columns = rows.getMetaData();
        TreeMap<String, Double> sums = new TreeMap<>();
        TreeMap<String, LocalDateTime> latest = new TreeMap<>();
        while (rows.next()) {
            sums.merge("rows", 1.0, Double::sum);
            for (int i = 1; i <= columns.getColumnCount(); i++) {
                String name = columns.getColumnName(i);
                if (name.endsWith("_seconds")) {
                    sums.merge(name, rows.getDouble(i), Double::sum);
                } else if (name.endsWith("_local")) {
                    latest.merge(name, rows.getObject(i, LocalDateTime.class), (a, b) -> a.isAfter(b) ? a : b);
                } else {
                    rows.getObject(i);
                }
            }
        }
        StringJoiner json = new StringJoiner(", ", "{", "}");
        sums.forEach((name, sum) -> json.add("\"" + name + "\": " + sum));
        latest.forEach((name, time) -> json.add("\"" + name + "\": \"" + time + "\""));
        System.out.println(json);
    }
}
